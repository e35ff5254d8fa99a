package main

import (
	"context"
	"fmt"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
	"github.com/bellhop-mesh/bellhop/scripts/prove/callers"
)

// seenMax is the longest time from an API server that serves again to a change that is in force: the longest pause between
// two attempts to reach it.
const seenMax = 30 * time.Second

// outageOfServer kills kube-apiserver, and starts it after the outage; a change after that must be seen.
func outageOfServer(ctx context.Context, s *stage, t *prove.Table) error {
	if err := s.ordinary(ctx); err != nil {
		return err
	}
	var took time.Duration
	begun := time.Now()
	n, err := s.Under(ctx, func() error {
		s.api.StopServer()
		if err := callers.Wait(ctx, s.outage); err != nil {
			return err
		}
		if err := s.api.StartServer(); err != nil {
			return err
		}
		var err error
		took, err = s.change(ctx, shop[0])
		return err
	})
	event := fmt.Sprintf("no kube-apiserver for %s", s.outage)
	callers.Calls(t, event, n, time.Since(begun))
	if err == nil {
		callers.Seen(t, event+": a change after it is in force", took, seenMax)
	}
	return err
}

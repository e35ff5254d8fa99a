package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
	"github.com/bellhop-mesh/bellhop/scripts/prove/callers"
)

// Rules that a proxy takes, and what it must refuse as a whole.
var (
	goodRules = []string{
		"version: 1\nservices:\n  shop.Cart: {timeout: 900ms}\n",
		"version: 1\nservices:\n  shop.Cart: {timeout: 800ms, balancer: p2c}\n",
	}
	badRules = []string{
		"version: 1\nservices:\n  shop.Cart: {timeuot: 1ms}\n",
		"version: 1\nservices:\n  shop.Cart: {timeout: 1ms}\n  shop.Cart: {timeout: 1ms}\n",
		"version: 1\nservices:\n  \"*\": {timeout: 1ms, max_conn",
		"version: 2\nservices:\n  \"*\": {timeout: 1ms}\n",
		"\x00\xff",
		"",
	}
)

const ruledMax = time.Second // from an edit to its being in force

// badPush writes rules to their node that are wrong in many ways under load: those before stay in force, and right ones replace them.
func badPush(ctx context.Context, s *stage, t *prove.Table) error {
	const place = "/bellhop/rules"
	s.config = "rules: {zookeeper: " + place + "}\n"
	if err := s.tree.Write(place, goodRules[0]); err != nil {
		return err
	}
	if err := s.ordinary(ctx); err != nil {
		return err
	}
	m, err := prove.Scrape(ctx, s.Proxy.Admin)
	if err != nil {
		return err
	}
	first := inForce(m)
	var kept int
	var took time.Duration
	begun := time.Now()
	n, err := s.Under(ctx, func() error {
		for i, bad := range badRules {
			if err := s.tree.Write(place, bad); err != nil {
				return err
			}
			if err := s.Await(ctx, "rules that are refused", func(now prove.Metrics) bool {
				m = now
				return m["bellhop_rules_wrong"] == 1 && m["bellhop_rules_refused_total"] > float64(i)
			}); err != nil {
				return err
			}
			if err := callers.Wait(ctx, callers.Settle/2); err != nil {
				return err
			}
			if first != "" && inForce(m) == first {
				kept++
			}
		}
		pushed := time.Now()
		if err := s.tree.Write(place, goodRules[1]); err != nil {
			return err
		}
		err := s.Await(ctx, "new rules", func(m prove.Metrics) bool { return m["bellhop_rules_wrong"] == 0 && inForce(m) != first })
		took = time.Since(pushed)
		return err
	})
	callers.Calls(t, "wrong rules are pushed", n, time.Since(begun))
	t.Add("… refused as a whole, the old ones in force", fmt.Sprint(len(badRules)), fmt.Sprint(kept), kept == len(badRules))
	if err == nil {
		callers.Seen(t, "… right ones after them are in force", took, ruledMax)
	}
	return err
}

// inForce is the digest of the rules in force; "" when there are none.
func inForce(m prove.Metrics) string {
	for name := range m {
		if labels, ok := strings.CutPrefix(name, "bellhop_rules_info{"); ok {
			_, digest, _ := strings.Cut(labels, `digest="`)
			digest, _, _ = strings.Cut(digest, `"`)
			return digest
		}
	}
	return ""
}

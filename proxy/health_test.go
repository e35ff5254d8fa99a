package proxy

import (
	"fmt"
	"time"
)

// breaker tells the proxy what somebody says of a breaker.
func (k *talk) breaker(w []string) error {
	if len(w) < 3 {
		return fmt.Errorf("write breaker open or close, a service, and an endpoint or a method")
	}
	var d time.Duration
	if len(w) > 3 {
		var err error
		if d, err = time.ParseDuration(w[3]); err != nil {
			return err
		}
	}
	return k.p.SetBreaker(w[1], w[2], w[0], d)
}

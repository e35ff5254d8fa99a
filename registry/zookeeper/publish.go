package zookeeper

import (
	"context"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

// publisher hands out whole updates, a burst of news as one.
func (s *Source) publisher(ctx context.Context, publish func(registry.Update)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.publish:
		}
		if u, ok := s.update(); ok {
			publish(u)
			s.said()
		}
		if !pause(ctx, publishGap) {
			return
		}
	}
}

// said notes that the update was handed out.
func (s *Source) said() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, e := range s.paths {
		if e.published != e.saying {
			e.published, e.told = e.saying, now
		}
	}
}

// Checked is when the ensemble last confirmed what the last update said of a service; "" asks of the remote proxies. Zero:
// never in this process, or the service is not looked at here. A service that has gone is still answered for while it is
// in use. Safe for concurrent use.
func (s *Source) Checked(service string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[service]
	if service == "" {
		e = s.remotes
	}
	switch {
	case e == nil || s.initial > 0: // nothing was handed out yet
		return time.Time{}
	case e.service != e.published:
		return e.before
	}
	return e.checked
}

// keepForgotten is how long updates say that a service is gone because nobody used it here.
const keepForgotten = 10 * time.Minute

func (s *Source) update() (registry.Update, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.initial > 0 {
		return registry.Update{}, false
	}
	u := registry.Update{Services: make(map[string]*registry.Service, s.watched)}
	for name, e := range s.entries {
		if e.service != nil {
			u.Services[name] = e.service
			delete(s.forgotten, name)
		}
	}
	for _, e := range s.paths {
		e.saying = e.service
	}
	now := time.Now()
	for name, at := range s.forgotten {
		if now.Sub(at) > keepForgotten {
			delete(s.forgotten, name)
			continue
		}
		if u.Final == nil {
			u.Final = map[string]bool{}
		}
		u.Final[name] = true
	}
	if s.remotes != nil && s.remotes.service != nil {
		for _, r := range s.remotes.service.Endpoints {
			u.Remotes = append(u.Remotes, registry.Remote{Addr: r.Addr, Zone: r.Zone, Weight: r.Weight})
		}
	}
	return u, true
}

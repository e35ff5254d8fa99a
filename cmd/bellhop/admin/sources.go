package admin

import (
	"cmp"
	"slices"

	"github.com/bellhop-mesh/bellhop/proxy"
)

// sortedSources returns the sources, the busiest first.
func (s *Server) sortedSources() []proxy.SourceStats {
	list := s.Proxy.Sources()
	slices.SortFunc(list, func(a, b proxy.SourceStats) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Source, b.Source))
	})
	return list
}

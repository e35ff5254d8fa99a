package strict

import (
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/bellhop-mesh/bellhop/registry"
)

// The bounds of the settings that are switched off with a word.
const (
	maxSpill = 100
	maxSlow  = 1000
)

const off = "off"

// isOff reports whether the word off stands there.
func isOff(a At) bool {
	return a.Node.Kind == yaml.ScalarNode && a.Node.Value == off && a.Node.ShortTag() == "!!str"
}

// Share reads a share, like 0.5 or 50%, above 0 and up to 1.
func (p *Reader) Share(into *float64) func(At) { return p.share(into, "") }

// shareOrOff reads a share, or off, which is registry.Off.
func (p *Reader) shareOrOff(into *float64) func(At) {
	share := p.share(into, ", or off")
	return func(a At) {
		if isOff(a) {
			*into = registry.Off
			return
		}
		share(a)
	}
}

func (p *Reader) share(into *float64, or string) func(At) {
	return func(a At) {
		text, per := a.Node.Value, 1.0
		if t, ok := strings.CutSuffix(text, "%"); ok {
			text, per = t, 100
		}
		v, err := strconv.ParseFloat(text, 64)
		if a.Node.Kind != yaml.ScalarNode || err != nil || math.IsNaN(v) || v <= 0 || v > per {
			p.Wrong(a, "is %s; write a share above 0 and up to 1, like 0.5 or 50%%%s", Show(a.Node), or)
			return
		}
		*into = v / per
	}
}

// Factor reads a number from 1 to most, or off, which is registry.Off.
func (p *Reader) Factor(into *float64, most float64) func(At) {
	return func(a At) {
		if isOff(a) {
			*into = registry.Off
			return
		}
		v, err := strconv.ParseFloat(a.Node.Value, 64)
		if a.Node.Kind != yaml.ScalarNode || err != nil || math.IsNaN(v) || v < 1 || v > most {
			p.Wrong(a, "is %s; write a number from 1 to %v, or off", Show(a.Node), most)
			return
		}
		*into = v
	}
}

// durationOrOff reads a duration, or off, which is registry.Off.
func (p *Reader) durationOrOff(into *time.Duration, low, high time.Duration) func(At) {
	return func(a At) {
		if isOff(a) {
			*into = registry.Off
			return
		}
		p.Duration(into, low, high)(a)
	}
}

// ejection reads off, or what is said of ejection.
func (p *Reader) ejection(into *registry.Ejection) func(At) {
	return func(a At) {
		if isOff(a) {
			into.MaxShare = registry.Off
			return
		}
		p.Mapping(a, "a mapping with errors, slow, max_share, base and max, or off", Fields{
			Key("errors", p.shareOrOff(&into.Errors)),
			Key("slow", p.Factor(&into.Slow, maxSlow)),
			Key("max_share", p.shareOrOff(&into.MaxShare)),
			Key("base", p.Duration(&into.Base, minTimeout, maxTimeout)),
			Key("max", p.Duration(&into.Max, minTimeout, maxTimeout)),
		})
	}
}

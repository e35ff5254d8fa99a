package pressure

import (
	"fmt"
	"time"
)

// Profiles are the names that Profile knows, and auto.
const (
	Auto   = "auto"
	Small  = "small"
	Medium = "medium"
	Large  = "large"
	Off    = "off"
)

// Classes of hardware. The mean wait from which calls wait too long is DAGOR's 20 ms (Zhou et al., "Overload Control for Scaling
// WeChat Microservices", SoCC 2018) for proxies that CPU quotas stop for 10 ms and more at a time, and less where nothing does.
const (
	smallCPUs   = 1
	smallMemory = 512 << 20
	largeCPUs   = 8
	largeMemory = 8 << 30
)

// Class is the class of hardware of a process that may use so many CPUs and so much memory, in bytes; 0 memory: not known.
func Class(cpus float64, memory int64) string {
	switch {
	case cpus <= smallCPUs || memory > 0 && memory <= smallMemory:
		return Small
	case cpus >= largeCPUs && (memory == 0 || memory >= largeMemory):
		return Large
	default:
		return Medium
	}
}

// Profile returns what a profile says: one of the classes, or off. The error names those there are.
func Profile(name string) (Config, error) {
	c := Config{Drop: 0.5, Rise: 200 * time.Millisecond, Fall: time.Second, Calm: 2 * time.Second}
	s := &c.Signals
	s[CPU], s[Busy] = Range{0.8, 1}, Range{0.9, 1}
	s[Delay], s[Throttled] = Range{0.010, 0.040}, Range{0.4, 0.8}
	s[Memory] = Range{0.75, 0.95}
	s[Files], s[Calls], s[Bytes] = Range{0.8, 0.97}, Range{0.7, 0.95}, Range{0.7, 0.95}
	switch name {
	case Small: // a little more is more here: earlier, and slower to believe
		c.Rise, c.Fall, c.Calm = 300*time.Millisecond, 2*time.Second, 3*time.Second
		s[CPU], s[Memory] = Range{0.75, 0.97}, Range{0.65, 0.9}
	case Medium:
	case Large:
		s[CPU], s[Memory] = Range{0.85, 1}, Range{0.8, 0.96}
		s[Delay] = Range{0.005, 0.020}
	case Off:
		return Config{}, nil
	default:
		return Config{}, fmt.Errorf("profile %q is none of %s, %s, %s, %s, %s", name, Auto, Small, Medium, Large, Off)
	}
	return c, nil
}

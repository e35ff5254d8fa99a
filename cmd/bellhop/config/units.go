package config

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// units are those of sizes, the longest names first.
var units = []struct {
	name string
	n    int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}}

// ParseSize reads a number of bytes: 65536, 64KiB, 1.5GiB, 10MB.
func ParseSize(s string) (Size, error) {
	number, unit := s, int64(1)
	for _, u := range units {
		if n, ok := strings.CutSuffix(s, u.name); ok {
			number, unit = strings.TrimSpace(n), u.n
			break
		}
	}
	if n, err := strconv.ParseInt(number, 10, 64); err == nil {
		if n < 0 || n > math.MaxInt64/unit {
			return 0, fmt.Errorf("%q is out of range", s)
		}
		return Size(n * unit), nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || !(f >= 0 && f*float64(unit) < math.MaxInt64) || unit == 1 {
		return 0, fmt.Errorf("%q is not a size: write a number and a unit, like 64MiB", s)
	}
	return Size(f * float64(unit)), nil
}

// String writes the size with the largest unit that divides it.
func (s Size) String() string {
	for i := 3; i >= 0; i-- {
		if u := units[i]; s != 0 && int64(s)%u.n == 0 {
			return strconv.FormatInt(int64(s)/u.n, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// The bounds in tags are constants of this package: one that can't be read is a defect, found by the first test.
func tagInt(t reflect.StructTag, key string) int64 {
	n, err := strconv.ParseInt(t.Get(key), 10, 64)
	if err != nil {
		panic(fmt.Sprintf("tag %s of %q: %v", key, t, err))
	}
	return n
}

func tagFloat(t reflect.StructTag, key string) float64 {
	n, err := strconv.ParseFloat(t.Get(key), 64)
	if err != nil {
		panic(fmt.Sprintf("tag %s of %q: %v", key, t, err))
	}
	return n
}

func tagDuration(t reflect.StructTag, key string) time.Duration {
	n, err := time.ParseDuration(t.Get(key))
	if err != nil {
		panic(fmt.Sprintf("tag %s of %q: %v", key, t, err))
	}
	return n
}

package strict

import (
	"testing"
	"time"
)

func TestShowDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", time.Hour: "1h", 90 * time.Second: "1m30s", 10 * time.Minute: "10m", time.Millisecond: "1ms", 61 * time.Minute: "1h1m",
	} {
		if got := ShowDuration(d); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}

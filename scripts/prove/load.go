package prove

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Measured is what is used of thriftperf's JSON.
type Measured struct {
	Calls          int64            `json:"calls"`
	CallsPerSecond float64          `json:"calls_per_second"`
	NotStarted     int64            `json:"not_started"`
	Failed         map[string]int64 `json:"failed"`
	Latency        Quantiles        `json:"latency_us"`
	Phases         []Phase          `json:"phases"`
	CPU            Usage            `json:"cpu"`       // of the generator
	Processes      []Usage          `json:"processes"` // of --cpu-of, in its order
}

// Quantiles of latencies, in microseconds.
type Quantiles struct {
	P50  int64 `json:"p50"`
	P99  int64 `json:"p99"`
	P999 int64 `json:"p999"`
	Max  int64 `json:"max"`
}

// Phase is a part of a load with --phases.
type Phase struct {
	Seconds float64   `json:"seconds"`
	Calls   int64     `json:"calls"`
	Latency Quantiles `json:"latency_us"`
}

// Usage is the CPU time of a process: microseconds per call, and cores.
type Usage struct {
	US    float64 `json:"us_per_call"`
	Cores float64 `json:"cores"`
}

// ParseMeasured reads what `thriftperf load --json` has printed. Nothing measured is an error.
func ParseMeasured(out []byte) (*Measured, error) {
	var m Measured
	if err := json.Unmarshal(out, &m); err != nil {
		return nil, fmt.Errorf("thriftperf's JSON: %w", err)
	}
	if m.Calls == 0 {
		return nil, fmt.Errorf("thriftperf measured nothing: %s", out)
	}
	return &m, nil
}

// Load runs `bin/thriftperf load --json` to its end. Failed calls are an error.
func Load(ctx context.Context, timeout time.Duration, args ...string) (*Measured, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, "bin/thriftperf", append([]string{"load", "--json"}, args...)...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
		}
		return nil, err
	}
	return ParseMeasured(out)
}

// Machine says in a few words what figures were taken on.
func Machine() string {
	return fmt.Sprintf("%d cores (%s), Linux %s, %s", runtime.NumCPU(), CPUModel(), Kernel(), runtime.Version())
}

// CPUModel is the name of the processor, or "unknown".
func CPUModel() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// Kernel is the kernel's release up to its first dash: the rest names a build.
func Kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	release, _, _ := strings.Cut(unix.ByteSliceToString(u.Release[:]), "-")
	return release
}

// Version is what a bellhop binary says it is; empty when it says nothing.
func Version(ctx context.Context, binary string) string {
	out, err := exec.CommandContext(ctx, binary, "--version").Output()
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "bellhop version ")
}

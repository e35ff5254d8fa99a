package main

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// machine is what a figure depends on beside the code.
type machine struct {
	CPU      string            `json:"cpu"`
	Cores    int               `json:"cores"`
	Kernel   string            `json:"kernel"`
	Go       string            `json:"go"`
	Versions map[string]string `json:"versions"`
}

var versionNumber = regexp.MustCompile(`\d+\.\d+\.\d+[^\s/,]*`)

func thisMachine(ctx context.Context) machine {
	m := machine{CPU: "unknown", Cores: runtime.NumCPU(), Go: runtime.Version(), Versions: map[string]string{}}
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel, _, _ = strings.Cut(unix.ByteSliceToString(u.Release[:]), "-") // the rest names a build, not a kernel
	}
	for name, argv := range map[string][]string{
		"haproxy": {program("haproxy"), "-v"}, "nginx": {program("nginx"), "-v"}, "envoy": {envoyBinary, "--version"},
	} {
		if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err == nil {
			m.Versions[name] = versionNumber.FindString(string(out))
		}
	}
	if out, err := exec.CommandContext(ctx, "bin/bellhop", "--version").Output(); err == nil {
		m.Versions["bellhop"] = strings.TrimPrefix(strings.TrimSpace(string(out)), "bellhop version ")
	}
	return m
}

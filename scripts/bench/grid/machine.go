package main

import (
	"context"
	"os/exec"
	"regexp"
	"runtime"

	"github.com/bellhop-mesh/bellhop/scripts/prove"
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
	m := machine{
		CPU: prove.CPUModel(), Cores: runtime.NumCPU(), Kernel: prove.Kernel(), Go: runtime.Version(),
		Versions: map[string]string{"bellhop": prove.Version(ctx, "bin/bellhop")},
	}
	for name, argv := range map[string][]string{
		"haproxy": {program("haproxy"), "-v"}, "nginx": {program("nginx"), "-v"}, "envoy": {envoyBinary, "--version"},
	} {
		if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err == nil {
			m.Versions[name] = versionNumber.FindString(string(out))
		}
	}
	return m
}

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// unitRoots are where the hierarchies lie that tell a process's unit: systemd's own (v1, hybrid), and v2.
var unitRoots = []string{"/sys/fs/cgroup/systemd", "/sys/fs/cgroup"}

// becomeUnit puts this process into the cgroup of a systemd unit, which is made when it is not there. A proxy that asks
// the kernel who its peer is then takes this process for that unit. The error says what was tried.
func becomeUnit(name string) error {
	if strings.ContainsRune(name, '/') || filepath.Ext(name) != ".service" {
		return fmt.Errorf("--unit %q: write the name of a service unit, like web@1.service", name)
	}
	var errs []error
	for _, root := range unitRoots {
		dir := filepath.Join(root, "system.slice", name)
		err := os.MkdirAll(dir, 0o755)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0o600)
		}
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("--unit %s: %w", name, errors.Join(errs...))
}

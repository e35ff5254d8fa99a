package identity

import (
	"bytes"
	"strconv"
	"strings"
)

// parseCgroup reads /proc/<pid>/cgroup: one line for each hierarchy, `id:controllers:path` (cgroups(7)).
//
//	v2       0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid>.slice/cri-containerd-<id>.scope
//	v1       4:memory:/kubepods/burstable/pod<uid>/<id>
//	hybrid   0::/system.slice/containerd.service   and v1 lines beside it: only those name the pod
//
// The lines may differ, so each is read and the most telling one counts, the first among equals. v2 and systemd's own
// hierarchy come first: the others are where root moves processes by hand.
func parseCgroup(b []byte) (Source, bool) {
	var named, rest []string
	for line := range bytes.Lines(b) {
		f := strings.SplitN(strings.TrimSuffix(string(line), "\n"), ":", 3)
		switch {
		case len(f) != 3 || !strings.HasPrefix(f[2], "/"):
		case f[0] == "0" && f[1] == "":
			named = append([]string{f[2]}, named...)
		case f[1] == "name=systemd":
			named = append(named, f[2])
		default:
			rest = append(rest, f[2])
		}
	}
	var best Source
	for _, path := range append(named, rest...) {
		if s := parsePath(path); s.Kind != 0 && (best.Kind == 0 || s.Kind < best.Kind) {
			best = s
		}
	}
	return best, best.Kind != 0
}

// parsePath reads one cgroup path from the outside in. The first component that names an owner ends it: what is
// deeper was made by that owner, who may call it as it likes (a container in a pod's container, a path that imitates
// another pod's).
func parsePath(path string) Source {
	path = strings.TrimSuffix(path, " (deleted)")
	parts := strings.Split(strings.Trim(path, "/"), "/")
	// Seen from a cgroup namespace further down, the path climbs first; what it climbed past is not named. From one
	// pod to another that can be `kubepods` itself.
	climbed := 0
	for climbed < len(parts) && parts[climbed] == ".." {
		climbed++
	}
	inKube := climbed > 0
	for i, p := range parts {
		if name, ok := strings.CutSuffix(p, ".slice"); ok {
			if uid, ok := slicePod(name); ok {
				return pod(uid)
			}
			if n, ok := userSlice(name); ok {
				return user(n)
			}
			continue
		}
		if p == "kubepods" {
			inKube = true
			continue
		}
		if uid, ok := strings.CutPrefix(p, "pod"); ok && inKube && isPodUID(uid) {
			return pod(uid)
		}
		if id, ok := containerID(p, parts[:i]); ok {
			return Source{Key: "container:" + id, Workload: "container:" + id, Kind: Container}
		}
		if isUnit(p) {
			if s, ok := underRuntime(p, parts[i+1:]); ok {
				return s
			}
			return unit(p)
		}
	}
	return Source{}
}

func pod(uid string) Source {
	// Without the cluster's word there is no knowing its team: it is its own workload.
	return Source{Key: uid, Workload: uid, Kind: Pod}
}

// slicePod finds the pod in a slice of the systemd driver: kubepods-pod<uid>, kubepods-burstable-pod<uid>, with a
// prefix where the kubelet has a cgroup root of its own. Dashes are levels to systemd, so the UID has underscores.
func slicePod(name string) (string, bool) {
	i := strings.LastIndex(name, "-pod")
	if i < 0 {
		return "", false
	}
	before := strings.TrimSuffix(strings.TrimSuffix(name[:i], "-burstable"), "-besteffort")
	uid := strings.ReplaceAll(name[i+len("-pod"):], "_", "-")
	if before != "kubepods" && !strings.HasSuffix(before, "-kubepods") {
		return "", false
	}
	return uid, isPodUID(uid)
}

// isPodUID: a UUID, or the 32 hexadecimal digits of a static pod's manifest.
func isPodUID(s string) bool {
	if len(s) == 32 {
		return isHex(s)
	}
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	return isHex(s[:8]) && isHex(s[9:13]) && isHex(s[14:18]) && isHex(s[19:23]) && isHex(s[24:])
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s != ""
}

// userSlice: user-1000. Everything of a user is one source: users make scopes and services as they like.
func userSlice(name string) (uint32, bool) {
	digits, ok := strings.CutPrefix(name, "user-")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), err == nil
}

// containerPrefixes are what runtimes put before a container's ID in a scope, or in a folder of their own.
var containerPrefixes = []string{"docker-", "cri-containerd-", "crio-", "libpod-", "nerdctl-"}

// containerID finds a container outside of Kubernetes: docker-<id>.scope, or <id> below a folder of its runtime.
func containerID(p string, above []string) (string, bool) {
	p = strings.TrimSuffix(p, ".scope")
	for _, prefix := range containerPrefixes {
		if id, ok := strings.CutPrefix(p, prefix); ok && isContainerID(id) {
			return id, true
		}
	}
	if len(above) == 0 {
		return "", false
	}
	switch above[len(above)-1] {
	case "docker", "libpod_parent", "default", "..":
		return p, isContainerID(p)
	}
	return "", false
}

func isContainerID(s string) bool { return len(s) == 64 && isHex(s) }

var unitSuffixes = []string{".service", ".scope", ".socket", ".mount", ".swap"}

func isUnit(p string) bool {
	for _, s := range unitSuffixes {
		if strings.HasSuffix(p, s) && len(p) > len(s) {
			return true
		}
	}
	return false
}

// unit is a systemd unit. The instances of a template are one workload.
func unit(p string) Source {
	// systemd puts an underscore before names that the kernel would take for its own files (cg_escape).
	p = strings.TrimPrefix(p, "_")
	s := Source{Key: p, Workload: p, Kind: Unit}
	if name, rest, ok := strings.Cut(p, "@"); ok {
		s.Workload = name + "@" + rest[strings.LastIndex(rest, "."):]
	}
	return s
}

// underRuntime reads what a container runtime makes below its own unit when it drives cgroupfs while the kubelet
// drives systemd: containerd.service/kubepods-burstable-pod<uid>.slice:cri-containerd:<id>. Only root can write there.
func underRuntime(p string, below []string) (Source, bool) {
	if p != "containerd.service" && p != "crio.service" && p != "docker.service" || len(below) == 0 {
		return Source{}, false
	}
	slice, _, ok := strings.Cut(below[0], ":")
	if !ok {
		return Source{}, false
	}
	uid, ok := slicePod(strings.TrimSuffix(slice, ".slice"))
	if !ok {
		return Source{}, false
	}
	return pod(uid), true
}

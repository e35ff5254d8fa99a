package addrfile

import (
	"strings"
	"testing"
	"time"
)

const good = `{"version":1,"instance":"i","generation":7,"state":"serving","lease_ms":500,
 "local":[{"net":"unix","addr":"call.sock"},{"net":"tcp","addr":"[::1]:9000"}],
 "remote":[{"net":"tcp","addr":"192.0.2.1:9100"}],
 "move":[{"key":"pod-1","ttl_ms":30000}], "a key of tomorrow": {"x": 1}}`

func TestParse(t *testing.T) {
	f, err := Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if f.State != Serving || f.Generation != 7 || f.Instance != "i" || f.Lease() != 500*time.Millisecond {
		t.Errorf("%+v", f)
	}
	if n, a := f.Local[0].Resolve("/mnt/pub"); n != "unix" || a != "/mnt/pub/call.sock" {
		t.Errorf("local[0] resolves to %s %s", n, a)
	}
	if n, a := f.Local[1].Resolve("/mnt/pub"); n != "tcp" || a != "[::1]:9000" {
		t.Errorf("local[1] resolves to %s %s", n, a)
	}
	if len(f.Remote) != 1 || len(f.Move) != 1 || f.Move[0] != (Move{"pod-1", 30000}) {
		t.Errorf("%+v", f)
	}
}

func TestParseRefuses(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"empty":         {"", "empty"},
		"blank":         {" \n", "empty"},
		"cut off":       {good[:40], "byte 40"},
		"not JSON":      {"address", "byte 1"},
		"a list":        {"[]", "cannot unmarshal array"},
		"version":       {strings.Replace(good, `"version":1`, `"version":2`, 1), "version: 2, want 1"},
		"no version":    {strings.Replace(good, `"version":1,`, ``, 1), "version: 0"},
		"no instance":   {strings.Replace(good, `"instance":"i",`, ``, 1), "instance: missing"},
		"generation":    {strings.Replace(good, `:7,`, `:-7,`, 1), "generation: -7"},
		"state":         {strings.Replace(good, `"serving"`, `"happy"`, 1), `state: "happy"`},
		"lease small":   {strings.Replace(good, `:500,`, `:5,`, 1), "lease_ms: 5"},
		"lease huge":    {strings.Replace(good, `:500,`, `:9223372036854775807,`, 1), "lease_ms: 9223372036854775807"},
		"lease below 0": {strings.Replace(good, `:500,`, `:-1,`, 1), "lease_ms: -1"},
		"net":           {strings.Replace(good, `"unix"`, `"udp"`, 1), `local[0]: net: "udp"`},
		"absolute":      {strings.Replace(good, `call.sock`, `/etc/x`, 1), `local[0]: addr: "/etc/x"`},
		"climbing":      {strings.Replace(good, `call.sock`, `../private/x`, 1), `local[0]: addr: "../private/x"`},
		"no port":       {strings.Replace(good, `192.0.2.1:9100`, `192.0.2.1`, 1), "remote[0]: addr:"},
		"port 0":        {strings.Replace(good, `192.0.2.1:9100`, `192.0.2.1:0`, 1), "remote[0]: addr:"},
		"no host":       {strings.Replace(good, `192.0.2.1:9100`, `:9100`, 1), "remote[0]: addr:"},
		"bare IPv6":     {strings.Replace(good, `[::1]:9000`, `::1:9000`, 1), "local[1]: addr:"},
		"move":          {strings.Replace(good, `"pod-1"`, `""`, 1), "move[0]:"},
		"many remotes": {strings.Replace(good, `"remote":[`, `"remote":[`+
			strings.Repeat(`{"net":"tcp","addr":"192.0.2.1:1"},`, 16), 1), "remote: 17 entries, at most 16"},
		"too large": {good + strings.Repeat(" ", MaxSize), "larger than 65536 bytes"},
		"two":       {good + good, "byte"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := Parse([]byte(c.in))
			if err == nil {
				t.Fatalf("accepted as %+v", f)
			}
			if !strings.HasPrefix(err.Error(), "address file: ") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q does not say %q", err, c.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(good[:50]))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Parse(b)
		if (file == nil) == (err == nil) {
			t.Fatalf("file %v, error %v: want exactly one", file, err)
		}
		if file == nil {
			return
		}
		if l := file.Lease(); l < minLease || l > maxLease {
			t.Fatalf("lease %v", l)
		}
		for _, a := range append(file.Local, file.Remote...) {
			n, addr := a.Resolve("/pub")
			if n == Unix && !strings.HasPrefix(addr, "/pub") {
				t.Fatalf("%+v resolves to %s, outside of its directory", a, addr)
			}
		}
	})
}

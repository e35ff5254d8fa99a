package protocol

import (
	"errors"
	"strings"
	"testing"
)

func TestDetect(t *testing.T) {
	long := "00000100 00000080" + strings.Repeat("61", 0x80) + "01 00000001 00"
	for _, c := range []struct {
		name string
		hex  string
		want Framing
		need int // bytes after which it is decided; one fewer must not be enough
	}{
		{"unframed strict", "80 01", UnframedBinary, 2},
		{"unframed compact", "82 21", UnframedCompact, 2},
		{"unframed compact oneway", "82 81", UnframedCompact, 2},
		{"framed strict", "0000001b 8001", FramedBinary, 6},
		{"framed compact", "00000006 8221", FramedCompact, 6},
		{"theader", "00000075 0fff", THeader, 6},
		{"ttheader", "00000075 1000", TTHeader, 6},
		{"osp binary (wire.md)", "00000083 02 00 00000001 0b0001", OSP, 11},
		{"osp compact", "00000050 02 01 00000001 18 04 6465", OSP, 14},
		{"dapeng (wire.md)", "0000004f 02 01 01 00000001 0b00010000000e", Dapeng, 14},
		{"dapeng binary", "0000004f 02 01 00 00000001 0b00010000000e", Dapeng, 14},
		{"dapeng with sequence 24: passes OSP's test too", "0000004f 02 01 01 00000018 0b0001", Dapeng, 14},
		{"framed lax", "00000018 00000004 6563686f 01", FramedLax, 13},
		{"framed lax, the longest name that is waited for", "00000050 00000037" + strings.Repeat("61", 0x37) + "04", FramedLax, 64},
		{"framed lax, one byte more", "00000050 00000038" + strings.Repeat("61", 0x38) + "04", FramedLax, 64},
		{"framed lax, a longer name", long, FramedLax, 64},
		{"POST", "504f535420", HTTP, 5},
		{"GET", "474554202f", HTTP, 4},
		{"OPTIONS", "4f5054494f4e5320", HTTP, 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := unhex(t, c.hex)
			for n := range len(b) + 1 {
				f, beats, err := Detect(b[:n:n])
				want := FramingUnknown
				if n >= c.need {
					want = c.want
				}
				if f != want || beats != 0 || err != nil {
					t.Fatalf("after %d bytes: %v, %d, %v; want %v", n, f, beats, err, want)
				}
			}
		})
	}
}

func TestDetectRefuses(t *testing.T) {
	for _, c := range []struct{ name, hex, want string }{
		{"TLS", "16 03", "tls"},
		{"HTTP/2", "50524920", "http2"},
		{"PROXY v1", "50524f585920", "proxy_protocol"},
		{"PROXY v2", "0d0a0d0a", "proxy_protocol"},
		{"fbthrift", "82 22", "fbthrift_compact"},
		{"framed fbthrift", "00000010 8222", "fbthrift_compact"},
		{"JSON", "5b", "json_protocol"},
		{"framed JSON", "00000010 5b", "json_protocol"},
		{"simple JSON", "7b", "json_protocol"},
		{"strict version 2", "80 02", "unknown_framing"},
		{"compact version 3", "82 23", "unknown_framing"},
		{"a word that is no method", "46", "unknown_framing"},
		{"POSX", "504f5358", "unknown_framing"},
		{"a length above the maximum", "40", "unknown_framing"},
		{"0xff", "ff", "unknown_framing"},
		{"a frame of four bytes", "00000004", "unknown_framing"},
		{"framed nonsense", "00000020 deadbeef", "unknown_framing"},
		{"OSP JSON", "00000020 02 02", "osp_codec"},
		{"OSP codec 3", "00000020 02 03", "osp_codec"},
		{"OSP with a header of no fields", "00000020 0200 00000001 00", "unknown_framing"},
		{"neither dapeng nor OSP", "00000020 0201 00000000 0000 0000", "unknown_framing"},
		{"too short for dapeng", "00000009 0201", "unknown_framing"},
		{"too short for OSP", "00000007 0200", "unknown_framing"},
		{"lax, name longer than its frame", "00000010 00000010", "unknown_framing"},
		{"lax, no name", "00000010 00000000", "unknown_framing"},
		{"lax, long name", "00001000 00000401", "unknown_framing"},
		{"lax, type 5", "00000018 00000004 6563686f 05", "unknown_framing"},
		{"lax, a name of control bytes", "00000018 00000004 01", "unknown_framing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := unhex(t, c.hex)
			for n := range b {
				if f, _, err := Detect(b[:n:n]); f != FramingUnknown || err != nil {
					t.Fatalf("after %d bytes: %v, %v", n, f, err)
				}
			}
			_, _, err := Detect(b)
			var e *Error
			if !errors.As(err, &e) || e.Reason != c.want || e.Code != CodeUnsupported || e.Detail == "" {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

func TestDetectHeartbeats(t *testing.T) {
	for _, c := range []struct {
		hex   string
		beats int
		want  Framing
	}{
		{"000000", 0, FramingUnknown},
		{"00000000", 4, FramingUnknown},
		{"00000000 00000000 00", 8, FramingUnknown},
		{"00000000 00000000 0000001b 8001", 8, FramedBinary},
		{"00000000 80 01", 4, UnframedBinary},
	} {
		f, beats, err := Detect(unhex(t, c.hex))
		if f != c.want || beats != c.beats || err != nil {
			t.Errorf("%s: %v, %d, %v", c.hex, f, beats, err)
		}
	}
	if _, beats, err := Detect(unhex(t, "00000000 1603")); beats != 4 || err == nil {
		t.Errorf("%d, %v", beats, err)
	}
}

// FuzzDetect: it decides within DetectBytes, keeps to its decision, and never allocates.
func FuzzDetect(f *testing.F) {
	for _, s := range []string{"8001", "8221", "0000001b8001", "0000004f020101000000180b0001", "00000018000000046563686f01", "504f535420", "1603", "00000000000000"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, beats, err := Detect(b)
		if beats > len(b) || beats%4 != 0 {
			t.Fatalf("%d heartbeats in %d bytes", beats, len(b))
		}
		if got == FramingUnknown && err == nil && len(b)-beats >= DetectBytes {
			t.Fatalf("undecided after %d bytes", len(b)-beats)
		}
		if got == UnframedLax {
			t.Fatal("unframed lax is never detected")
		}
		for n := beats; n < min(len(b), beats+DetectBytes); n++ {
			early, _, earlyErr := Detect(b[:n:n])
			if early != FramingUnknown && early != got || earlyErr != nil && earlyErr != err {
				t.Fatalf("%v, %v after %d bytes became %v, %v", early, earlyErr, n, got, err)
			}
		}
	})
}

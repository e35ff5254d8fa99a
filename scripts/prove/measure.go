package prove

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// Memory is what /proc/PID/status says, in bytes.
type Memory struct{ RSS, Anon int64 }

// ReadMemory reads VmRSS and RssAnon of a process.
func ReadMemory(pid int) (Memory, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return Memory{}, err
	}
	var m Memory
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kB, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "VmRSS:":
			m.RSS = kB << 10
		case "RssAnon:":
			m.Anon = kB << 10
		}
	}
	if m.RSS == 0 || m.Anon == 0 {
		return m, fmt.Errorf("/proc/%d/status names no VmRSS or RssAnon", pid)
	}
	return m, nil
}

// PeakRSS reads the greatest resident set that a process ever had, in bytes.
func PeakRSS(pid int) (int64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmHWM:" {
			kB, err := strconv.ParseInt(f[1], 10, 64)
			return kB << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status names no VmHWM", pid)
}

// Metrics are samples of a Prometheus text page; the labels are part of the name as they are printed.
type Metrics map[string]float64

// Sum adds up all samples of a metric, whatever their labels.
func (m Metrics) Sum(name string) (sum float64) {
	for k, v := range m {
		if k == name || strings.HasPrefix(k, name+"{") {
			sum += v
		}
	}
	return sum
}

// Get fetches a page of bellhop's admin side.
func Get(ctx context.Context, c *http.Client, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://bellhop"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, resp.Status, bytes.TrimSpace(b))
	}
	return b, err
}

// Scrape reads /metrics.
func Scrape(ctx context.Context, c *http.Client) (Metrics, error) {
	b, err := Get(ctx, c, "/metrics")
	if err != nil {
		return nil, err
	}
	m := Metrics{}
	sc := bufio.NewScanner(bytes.NewReader(b))
	for sc.Scan() {
		line := sc.Text()
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			if v, err := strconv.ParseFloat(line[i+1:], 64); err == nil {
				m[line[:i]] = v
			}
		}
	}
	return m, sc.Err()
}

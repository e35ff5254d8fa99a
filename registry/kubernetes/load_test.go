package kubernetes

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

// loadChild names, in the environment, the kubeconfig of a process that does nothing but load: TestLoad measures it.
const loadChild = "BELLHOP_TEST_KUBERNETES_LOAD"

// load follows a cluster as a proxy does, with a manager, and says what it costs. A line on its standard input asks for the
// next snapshot that differs.
func load(kubeconfig string) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	atRest := resident("VmRSS")
	started := time.Now()
	c, err := NewClient(ClientConfig{Kubeconfig: kubeconfig, Log: log})
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := New(c, Options{Log: log, Namespaces: []string{"load"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	m := registry.NewManager(registry.ManagerConfig{Log: log}, s)
	var once sync.Once
	m.OnChange(func(snap *registry.Snapshot) {
		endpoints, changed := 0, 0
		for _, s := range snap.Services {
			endpoints += len(s.Endpoints)
			for i := range s.Endpoints {
				if strings.HasPrefix(s.Endpoints[i].Addr, "11.") {
					changed++
				}
			}
		}
		once.Do(func() {
			fmt.Printf("first services=%d endpoints=%d after=%s\n", len(snap.Services), endpoints, time.Since(started))
			peak := resident("VmHWM")
			go func() {
				<-time.After(2 * time.Second) // what it comes to when the garbage is gone
				runtime.GC()
				var st runtime.MemStats
				runtime.ReadMemStats(&st)
				fmt.Printf("memory at_rest=%d peak=%d later=%d heap=%d\n", atRest, peak, resident("VmRSS"), st.HeapAlloc)
			}()
		})
		fmt.Printf("snapshot endpoints=%d changed=%d\n", endpoints, changed)
	})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { _ = m.Run(ctx) }() // it ends with the process
	_, _ = io.Copy(io.Discard, os.Stdin)
	fmt.Printf("end peak=%d\n", resident("VmHWM"))
	cancel()
}

// resident is one of this process's sizes, in kB.
func resident(what string) int {
	b, _ := os.ReadFile("/proc/self/status") // Linux has it
	for _, line := range strings.Split(string(b), "\n") {
		var kB int
		if rest, ok := strings.CutPrefix(line, what+":"); ok {
			_, _ = fmt.Sscanf(strings.TrimSpace(rest), "%d kB", &kB)
			return kB
		}
	}
	return 0
}

// TestLoad: 2,000 Services with 20,000 endpoints, read by a process of its own.
func TestLoad(t *testing.T) {
	const services, each = 2000, 10
	a := cluster(t)
	o := operator{a, t}
	o.do("POST", "/api/v1/namespaces", `{"metadata":{"name":"load"}}`)
	started := time.Now()
	fan(services, func(i int) error {
		_, err := a.Do("POST", "/api/v1/namespaces/load/services", fmt.Sprintf(`{"metadata":{"name":"s%d",%s,"annotations":{"bellhop.dev/service":"com.example.load.Service%d"}},"spec":{"clusterIP":"None","ports":[{"name":"thrift","port":9090}]}}`, i, enabled, i))
		if err == nil {
			_, err = a.Do("POST", "/apis/discovery.k8s.io/v1/namespaces/load/endpointslices", loadSlice(i, each, "10"))
		}
		return err
	}, t)
	t.Logf("%d Services with %d endpoints were made in %s", services, services*each, time.Since(started).Round(time.Millisecond))

	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), loadChild+"="+a.Kubeconfig("admin"))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	line := func(prefix string) string {
		t.Helper()
		for lines.Scan() {
			if rest, ok := strings.CutPrefix(lines.Text(), prefix+" "); ok {
				return rest
			}
		}
		t.Fatalf("the process ended before it said %q", prefix)
		return ""
	}
	var n, e, atRest, peak, later, heap int
	var after string
	if _, err := fmt.Sscanf(line("first"), "services=%d endpoints=%d after=%s", &n, &e, &after); err != nil {
		t.Fatal(err)
	}
	if took, err := time.ParseDuration(after); n != services || e != services*each || err != nil || took > 5*time.Second {
		t.Errorf("the first snapshot has %d services with %d endpoints, after %s; want all, within 5 s", n, e, after)
	}
	if _, err := fmt.Sscanf(line("memory"), "at_rest=%d peak=%d later=%d heap=%d", &atRest, &peak, &later, &heap); err != nil {
		t.Fatal(err)
	}
	t.Logf("first snapshot after %s; resident %.1f MB at rest, %.1f MB at most until then, %.1f MB later; heap %.1f MB", after, mb(atRest), mb(peak), mb(later), mb(heap/1024))
	if peak > 80<<10 || later > 80<<10 {
		t.Errorf("resident %.1f MB at most, %.1f MB later; want at most 80 MB", mb(peak), mb(later))
	}
	await := func(changed int) {
		t.Helper()
		for {
			var e, n int
			if _, err := fmt.Sscanf(line("snapshot"), "endpoints=%d changed=%d", &e, &n); err != nil {
				t.Fatal(err)
			}
			if n >= changed {
				return
			}
		}
	}
	put := func(i int) error {
		_, err := a.Do("PUT", fmt.Sprintf("/apis/discovery.k8s.io/v1/namespaces/load/endpointslices/s%d-x", i), loadSlice(i, each, "11"))
		return err
	}
	started = time.Now()
	if err := put(0); err != nil {
		t.Fatal(err)
	}
	await(each)
	t.Logf("one change is in a snapshot after %s", time.Since(started).Round(time.Millisecond))
	started = time.Now()
	fan(services/5, put, t)
	made := time.Since(started)
	await(services / 5 * each)
	t.Logf("a mass change of 20 %% was made in %s, and is in a snapshot %s later", made.Round(time.Millisecond), (time.Since(started) - made).Round(time.Millisecond))
	in.Close()
	var end int
	if _, err := fmt.Sscanf(line("end"), "peak=%d", &end); err != nil {
		t.Fatal(err)
	}
	t.Logf("resident %.1f MB at most, over all of it", mb(end))
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	o.do("DELETE", "/apis/discovery.k8s.io/v1/namespaces/load/endpointslices", "")
}

func mb(kB int) float64 { return float64(kB) / 1024 }

func loadSlice(i, endpoints int, net string) string {
	list := make([]string, endpoints)
	for j := range list {
		list[j] = fmt.Sprintf(`{"addresses":["%s.%d.%d.%d"],"conditions":{"ready":true,"serving":true,"terminating":false},"nodeName":"node-%d","zone":"zone-%d","targetRef":{"kind":"Pod","namespace":"load","name":"s%d-7d9f8c6b5d-%05d","uid":"%08x-0000-4000-8000-%s%010d"}}`,
			net, i/250, i%250, j+1, (i*10+j)%500, j%3, i, j, i, net, j)
	}
	return fmt.Sprintf(`{"metadata":{"name":"s%d-x","labels":{"bellhop.dev/enabled":"true","kubernetes.io/service-name":"s%d","endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io"}},"addressType":"IPv4","ports":[{"name":"thrift","port":9090,"protocol":"TCP"}],"endpoints":[%s]}`, i, i, strings.Join(list, ","))
}

// fan calls f for 0…n-1, 16 at a time.
func fan(n int, f func(i int) error, t *testing.T) {
	t.Helper()
	work := make(chan int)
	var done sync.WaitGroup
	for range 16 {
		done.Go(func() {
			for i := range work {
				if err := f(i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	done.Wait()
}

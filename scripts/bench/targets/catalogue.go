package targets

// Target is one figure and its bound.
type Target struct {
	Key      string // names it in files; stable
	Figure   string // what it is, for the page
	Bound    float64
	AtLeast  bool    // the bound is a lower one
	Worst    bool    // every value must meet the bound; otherwise the median must
	Unit     string  // behind every value; "" for a ratio
	Scale    float64 // a value is divided by it before it is printed; 0: 1
	Decimals int
	Command  string // what measures it
}

// Catalogue lists all targets in the order of the page. Values are in the unit that Bound is in.
func Catalogue() []Target {
	ratio := func(key, figure string, bound float64, command string) Target {
		return Target{Key: key, Figure: figure, Bound: bound, Decimals: 2, Command: command}
	}
	rate := func(key, figure string) Target {
		t := ratio(key, figure, 1, "make bench")
		t.AtLeast = true
		return t
	}
	amount := func(key, figure string, bound float64, unit string, scale float64, decimals int, command string) Target {
		return Target{Key: key, Figure: figure, Bound: bound, Unit: unit, Scale: scale, Decimals: decimals, Worst: true, Command: command}
	}
	const quick, grid, growth, memory = "make bench-quick", "make bench", "make bench-growth", "make prove-memory"
	return []Target{
		ratio("tcp64", "CPU per call, 64 callers, multiplexed, tcp, to HAProxy", 0.55, quick),
		ratio("unix64", "CPU per call, 64 callers, multiplexed, unix, to HAProxy on unix", 0.45, quick),
		ratio("excl64", "CPU per call, 64 callers, exclusive, tcp, to HAProxy", 1.15, quick),
		ratio("tcp1", "CPU per call, 1 caller, exclusive, tcp, to HAProxy", 1.15, quick),
		ratio("envoy-excl", "CPU per call, 64 callers, exclusive, tcp, to Envoy", 0.5, grid),
		ratio("envoy-mux", "CPU per call, 64 callers, multiplexed, tcp, to Envoy", 0.25, grid),
		rate("percall-tcp", "calls/s with one call a connection, exclusive, tcp, to HAProxy"),
		rate("percall-unix", "calls/s with one call a connection, exclusive, unix, to HAProxy"),
		ratio("p99-mux", "added p99 at half of HAProxy's rate, multiplexed, to HAProxy's", 1.15, grid),
		ratio("p99-excl", "added p99 at half of HAProxy's rate, exclusive, to HAProxy's", 1.15, grid),
		ratio("growth", "CPU per call with 2,000 services, 20,000 endpoints, 10,000 connections, to the small case", 1.25, growth),
		amount("round-gap", "longest gap between a worker's rounds during a full table swap under load", 0.005, "ms", 0.001, 2, growth),
		amount("allocs", "mallocs per call of the live process", 0.01, "", 1, 4, quick),
		amount("conn-tcp", "bytes per idle connection, tcp", 3072, "bytes", 1, 0, memory),
		amount("conn-unix", "bytes per idle connection, unix", 3072, "bytes", 1, 0, memory),
		amount("anon", "RssAnon idle with 2,000 services and 20,000 endpoints", 40e6, "MB", 1e6, 1, memory),
		amount("frames-caller", "peak RSS, 8 callers exchange 64 MB frames, callers read slowly", 150e6, "MB", 1e6, 1, memory),
		amount("frames-server", "peak RSS, 8 callers exchange 64 MB frames, servers read slowly", 150e6, "MB", 1e6, 1, memory),
		amount("idle-cpu", "idle CPU, of a core", 0.002, "%", 0.01, 3, memory),
	}
}

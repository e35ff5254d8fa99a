// Package governed is what the proofs of fairness, overload and rules share: a machine of two parts, sources that are
// processes of their own, loads that begin together, the CPU time of everything, and pairs of runs. It must never hold a
// target, nor leave out a run without saying so.
//
//	core of the proxies (0)          │ the other core (1)
//	bellhop, in a cgroup with a CPU  │ thriftperf load, one process for each source, in the cgroup of a systemd unit
//	quota where it is to be scarce   │ thriftperf serve, this program
//
// A load is an open loop: calls begin at moments that were drawn before, whatever becomes of those before, and latency
// counts from there. A run with less than Spare of the other core idle says more of the load than of the proxy: it is
// invalid, is made again, and is counted.
package governed

// Package prove is what the proofs and benchmarks of scripts share: processes that end with their parent, a bellhop with
// a configuration of its own in a folder of its own, loads by thriftperf, figures out of /proc and /metrics, and the
// printed table. It must never hold a target or an opinion: those belong to the proof that states them.
//
//	Dir ─► Start(program) ─► Process ─► Stop | Kill            Table ─► Add(figure, target, measured, ok) ─► Finish
//	 └───► StartBellhop(Bellhop{…}) ─► address file, Scrape
//	                                ─► CPU, Memory
//	       Load(thriftperf load …) ─► Measured
package prove

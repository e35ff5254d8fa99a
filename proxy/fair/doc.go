// Package fair shares what there is too little of: weighted fair queueing (deficit round robin, Shreedhar and Varghese 1996) in
// two levels, workloads first and their sources then, so that fifty pods of one team do not get fifty shares. It must never
// look at a clock, lock or block: one worker owns a queue.
//
//	Queue ─► workload (weight) ─► source (weight) ─► items, oldest first
package fair

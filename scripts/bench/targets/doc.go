// Package targets holds what bellhop is to reach, and judges what the benchmarks and proofs have measured: one catalogue,
// one file of values for each tool, one table on the page. It must never hold a measured figure in code, and a tool must
// never write a judgement: it gives values, and median, range and "met" are computed from them each time.
//
//	make bench-quick ─► quick.json ─┐
//	make bench ───────► grid.json ──┼─► Publish ─► README.md, between its marks
//	make bench-growth ► growth.json ┤
//	make prove-memory ► memory.json ┘
package targets

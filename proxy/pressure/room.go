package pressure

// Room finds out whether the remote tier has room, from what became of calls that were handed over to try it. The zero value is
// ready. Not safe for concurrent use.
type Room struct {
	share float64 // of the tries that were refused, a moving mean
	full  bool
	idle  int // looks since the last try
}

// Numbers of Room.
const (
	roomWeight = 0.3
	roomFull   = 0.5 // from which share on there is none
	roomFree   = 0.2 // below which there is some again
	roomForget = 30  // looks without a try
)

// Observe takes in how many tries were served and refused since the last look, and reports whether the tier is full.
func (r *Room) Observe(served, refused int64) bool {
	if served+refused == 0 {
		if r.idle++; r.idle >= roomForget {
			*r = Room{}
		}
		return r.full
	}
	r.idle = 0
	r.share += (float64(refused)/float64(served+refused) - r.share) * roomWeight
	r.full = r.share >= roomFull || r.full && r.share >= roomFree
	return r.full
}

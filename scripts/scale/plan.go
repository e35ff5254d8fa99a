package main

// plan is what the tables assume, beside what was measured.
type plan struct {
	Hosts        []int
	Services     int     // in the registry
	PerHost      int     // services in use on a host, drawn by Zipf's law
	Instances    int     // of a service
	Changes      float64 // registrations and withdrawals a second, all day
	Session      float64 // seconds
	Audit        float64 // seconds; less a random part of up to a half
	Reconnect    float64 // seconds; the longest random pause
	Grace        float64 // seconds; the pause before the audit after a reconnect, less a random part of up to a half
	RollingHour  float64 // seconds in which all proxies are restarted one after the other
	RolloutEvery float64 // seconds between two instances of a rollout: one withdrawn, one registered
	RoundTrip    float64 // seconds

	Servers int // voters
	Cores   int // of a server, each as fast as one here
	Bounds  bounds
}

// bounds are what the plan will not go beyond. They are choices, with reasons in docs/scale.md.
type bounds struct {
	Sessions  float64 // of a server
	Heap      float64 // bytes of a server
	Share     float64 // of a server's CPU, in a steady state with one rollout
	Bytes     float64 // a second of a server, in a steady state with one rollout
	Writes    float64 // share of the writes a second that were seen here
	FanOut    float64 // seconds from a change to the last host that knows it
	Loss      float64 // seconds until all sessions of a lost server are elsewhere, with their watches
	PowerLoss float64 // seconds until all hosts know all services
}

var thePlan = plan{
	Hosts:    []int{100, 1000, 3000, 10_000, 30_000},
	Services: 2000, PerHost: 50, Instances: 10,
	Changes: 2, Session: 30, Audit: 25, Reconnect: 1, Grace: 1, RollingHour: 3600, RolloutEvery: 1, RoundTrip: 0.0005,
	Servers: 3, Cores: 4,
	Bounds: bounds{
		Sessions: 20_000, Heap: 4e9, Share: 0.5, Bytes: 62.5e6, Writes: 0.5, FanOut: 2, Loss: 10, PowerLoss: 60,
	},
}

const seed = 20_000 // of every draw: the tables are the same every time

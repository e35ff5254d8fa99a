package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
)

// measured is what -measure wrote. The model's inputs are here and in plan.go, nowhere else.
//
//go:embed measured.json
var measuredJSON []byte

// both are bytes of the protocol on one connection, without the headers of TCP and IP.
type both struct {
	Up   float64 `json:"up"`
	Down float64 `json:"down"`
}

func (b both) sum() float64 { return b.Up + b.Down }

// cost is what one kind of request costs the servers.
type cost struct {
	PerSecond float64 `json:"per_second"` // as seen here, with the clients on the same cores
	Micros    float64 `json:"cpu_micros"` // CPU time of the server that answers, per request
}

type wire struct {
	Session    both `json:"session"`
	Resume     both `json:"resume"`
	Ping       both `json:"ping"`
	List10     both `json:"list_10"`
	List100    both `json:"list_100"`
	Read       both `json:"read"`
	Exists     both `json:"exists"`
	Event      both `json:"event"`
	SetWatches both `json:"set_watches_per_watch"`
	PathBytes  int  `json:"service_path_bytes"`
}

type writes struct {
	PerSecond      float64 `json:"per_second"`
	LeaderMicros   float64 `json:"leader_cpu_micros"`
	FollowerMicros float64 `json:"follower_cpu_micros"` // of each follower
}

type memory struct {
	Heap       float64 `json:"heap_empty"` // live bytes of a server's heap after a full collection
	Session    float64 `json:"bytes_per_session"`
	Watch      float64 `json:"bytes_per_watch"`
	Ephemeral  float64 `json:"bytes_per_ephemeral"`
	Sessions   int     `json:"sessions"`
	Watches    int     `json:"watches"`
	Ephemerals int     `json:"ephemerals"`
}

type fanOut struct {
	Sessions int     `json:"sessions"`
	Rounds   int     `json:"rounds"`
	FirstMs  float64 `json:"first_ms"` // medians of the rounds
	HalfMs   float64 `json:"half_ms"`
	LastMs   float64 `json:"last_ms"`
	WorstMs  float64 `json:"worst_last_ms"`
	Micros   float64 `json:"server_cpu_micros_per_event"` // all servers together
}

type loss struct {
	Sessions   int     `json:"sessions"`
	WatchesOf  int     `json:"watches_each"`
	Moved      int     `json:"moved"`
	SessionsMs float64 `json:"sessions_back_ms"`
	WatchesMs  float64 `json:"watches_back_ms"`
	Micros     float64 `json:"server_cpu_micros_per_moved_session"` // of the servers left, together
}

type opening struct {
	PerSecond float64 `json:"per_second"`
	Micros    float64 `json:"server_cpu_micros"` // all servers together, per session
}

type measured struct {
	Date    string  `json:"date"`
	Machine string  `json:"machine"`
	Server  string  `json:"server"`
	Wire    wire    `json:"wire"`
	List10  cost    `json:"list_10"`
	List100 cost    `json:"list_100"`
	Read    cost    `json:"read"`
	Exists  cost    `json:"exists"`
	Ping    cost    `json:"ping"` // as they come
	Paced   []cost  `json:"exists_paced"`
	Write   writes  `json:"write"`
	Memory  memory  `json:"memory"`
	FanOut  fanOut  `json:"fan_out"`
	Loss    loss    `json:"loss_of_a_follower"`
	Leader  loss    `json:"loss_of_the_leader"`
	Open    opening `json:"open_session"`
}

func load() (measured, error) {
	var m measured
	if err := json.Unmarshal(measuredJSON, &m); err != nil {
		return m, fmt.Errorf("measured.json: %w", err)
	}
	return m, nil
}

func (m measured) save(file string) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

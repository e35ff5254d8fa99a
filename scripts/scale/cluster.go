package main

// sliceBytes is the size of an EndpointSlice with so many pods, as protobuf, with the fields that a controller writes. A test of
// registry/kubernetes computes the two numbers.
func sliceBytes(pods int) int { return sliceHead + pods*slicePod }

const (
	sliceHead    = 378 // bytes without pods
	slicePod     = 143 // bytes of each
	apiServers   = 3
	watchesOf    = 3 // of a host: Services, EndpointSlices, the pods of its node
	sliceWrites  = 2 // of an instance that a rollout replaces: one goes, one comes ready
	networkBytes = 125e6
)

// clusterRow is what the API servers bear: every host hears of every change, whether it calls the service or not.
func clusterRow(p plan, hosts int) []string {
	slice := float64(sliceBytes(p.Instances))
	steady := float64(hosts) * p.Changes * slice
	rollout := float64(hosts) * sliceWrites / p.RolloutEvery * slice
	start := float64(hosts) * float64(p.Services) * slice
	return []string{
		count(float64(hosts)), count(float64(share(hosts*watchesOf, apiServers))), size(steady/apiServers) + "/s",
		size((steady+rollout)/apiServers) + "/s", size(start / apiServers), seconds(start / apiServers / networkBytes),
	}
}

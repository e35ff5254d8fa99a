package admin

import "time"

// kubernetes has the counters of the cluster.
func (c collector) kubernetes(e emitter) {
	k := c.s.Kubernetes
	if k == nil {
		return
	}
	flag := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	age := func(at time.Time) float64 {
		if at.IsZero() {
			return -1
		}
		return time.Since(at).Seconds()
	}
	if k.Services != nil {
		st := k.Services()
		e.gauge("kubernetes_synced", "1: the services of the cluster were read", flag(st.Synced), nil)
		e.gauge("kubernetes_services", "Services read; bound: max_services", float64(st.Services), nil)
		e.gauge("kubernetes_slices", "EndpointSlices read", float64(st.Slices), nil)
		e.gauge("kubernetes_endpoints", "endpoints in them; bound: max_endpoints", float64(st.Endpoints), nil)
		e.gauge("kubernetes_doubtful_endpoints", "endpoints that are missing without evidence that they are gone", float64(st.Doubtful), nil)
		e.counter("kubernetes_failures", "requests to the API server that failed", st.Failures, nil)
		e.counter("kubernetes_bad_services", "versions of Services, or of their ports, that could not be used", st.Bad, nil)
		e.counter("kubernetes_refused_objects", "objects beyond a bound", st.Refused, nil)
		e.gauge("kubernetes_last_contact_seconds", "since the API server last said something, by the watch that has waited longest; -1: never", age(st.LastContact), nil)
	}
	if k.Pods != nil {
		st := k.Pods()
		e.gauge("kubernetes_pods_synced", "1: the pods of this node were read", flag(st.Synced), nil)
		e.gauge("kubernetes_pods", "pods of this node; bound: max_pods", float64(st.Pods), nil)
		e.counter("kubernetes_pods_failures", "requests for pods that failed", st.Failures, nil)
		e.counter("kubernetes_pods_refused", "pods beyond the bound", st.Refused, nil)
		e.gauge("kubernetes_pods_last_contact_seconds", "since the API server last said something about pods; -1: never", age(st.LastContact), nil)
	}
}

// kubernetesProblem is why the cluster can't be asked now; "": it can, or is not used.
func (s *Server) kubernetesProblem() string {
	k := s.Kubernetes
	if k == nil {
		return ""
	}
	if k.Services != nil {
		if p := k.Services().Problem; p != "" {
			return "kubernetes: " + p
		}
	}
	if k.Pods != nil {
		if p := k.Pods().Problem; p != "" {
			return "kubernetes: " + p
		}
	}
	return ""
}

package zookeeper

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/bellhop-mesh/bellhop/registry"
)

// The curator layout (Apache Curator's x-discovery, ServiceInstance as JsonInstanceSerializer writes it). The payload is
// the application's; when it is an object, the keys of the bellhop layout are taken from it.
//
//	/services/NAME/ID   {"name":"NAME","id":"ID","address":"10.0.0.5","port":9090,"sslPort":null,"payload":{"weight":50},
//	                     "registrationTimeUTC":1700000000000,"serviceType":"DYNAMIC","uriSpec":null,"enabled":true}
type curatorNode struct {
	Name    string          `json:"name"`
	ID      string          `json:"id"`
	Address string          `json:"address"`
	Port    *int            `json:"port"`
	SSLPort *int            `json:"sslPort"`
	Payload json.RawMessage `json:"payload"`
	Time    int64           `json:"registrationTimeUTC"`
	Type    string          `json:"serviceType"`
	Enabled *bool           `json:"enabled,omitempty"` // since Curator 4.1; before, every instance was
}

func parseCurator(data []byte) (member, bool, error) {
	var n curatorNode
	if err := decodeJSON(data, &n); err != nil {
		return member{}, false, err
	}
	switch {
	case n.Enabled != nil && !*n.Enabled:
		return member{}, false, nil
	case n.Port == nil && n.SSLPort != nil:
		return member{}, false, errors.New("has a sslPort and no port; endpoints are spoken to without TLS: register a port")
	case n.Port == nil || n.Address == "":
		return member{}, false, errors.New("its data has no address or no port")
	}
	var p bellhopNode
	if len(n.Payload) > 0 && n.Payload[0] == '{' {
		// An application's own payload may use the same words for other things: then nothing is taken from it.
		if err := json.Unmarshal(n.Payload, &p); err != nil {
			p = bellhopNode{}
		}
	}
	return p.member(net.JoinHostPort(n.Address, strconv.Itoa(*n.Port))), true, nil
}

func encodeCurator(service string, m member) (string, []byte, error) {
	host, port, err := hostPort(m.endpoint.Addr)
	if err != nil {
		return "", nil, err
	}
	h := sha256.Sum256([]byte(service + "\x00" + m.endpoint.Addr))
	id := fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
	payload, err := json.Marshal(nodeOf(m))
	if err != nil {
		return "", nil, err
	}
	enabled := true
	data, err := json.Marshal(curatorNode{Name: service, ID: id, Address: host, Port: &port, Payload: payload, Time: time.Now().UnixMilli(), Type: "DYNAMIC", Enabled: &enabled})
	return id, data, err
}

// The serverset layout (Finagle's ZooKeeper members). Other children, like vector_… with weights, are left alone.
//
//	PATH/member_0000000007   {"serviceEndpoint":{"host":"10.0.0.5","port":9090},
//	                          "additionalEndpoints":{"thrift":{"host":"10.0.0.5","port":9091}},
//	                          "status":"ALIVE","shard":3,"metadata":{"zone":"a"}}
const memberPrefix = "member_"

type serverSetNode struct {
	Service    *hostAndPort           `json:"serviceEndpoint"`
	Additional map[string]hostAndPort `json:"additionalEndpoints"`
	Status     string                 `json:"status"`
	Shard      *int                   `json:"shard,omitempty"`
	Metadata   json.RawMessage        `json:"metadata,omitempty"`
}

type hostAndPort struct {
	Host string `json:"host"`
	Port int    `json:"port"`
}

func parseServerSet(child string, data []byte, port string) (member, bool, error) {
	if !strings.HasPrefix(child, memberPrefix) {
		return member{}, false, nil
	}
	var n serverSetNode
	if err := decodeJSON(data, &n); err != nil {
		return member{}, false, err
	}
	if n.Status != "ALIVE" {
		return member{}, false, nil // STARTING, STOPPING, DEAD, …: it takes no calls
	}
	at := n.Service
	if port != "" {
		a, ok := n.Additional[port]
		if !ok {
			return member{}, false, fmt.Errorf("it has no additional endpoint %q", port)
		}
		at = &a
	}
	if at == nil || at.Host == "" {
		return member{}, false, errors.New("its data has no serviceEndpoint")
	}
	m := member{endpoint: registry.Endpoint{Addr: net.JoinHostPort(at.Host, strconv.Itoa(at.Port))}}
	var meta map[string]string
	if json.Unmarshal(n.Metadata, &meta) == nil && len(meta) > 0 { // whatever else it is, it is not for us
		m.endpoint.Zone, m.endpoint.Version = meta["zone"], meta["version"]
		m.endpoint.Labels = meta
	}
	if n.Shard != nil {
		if m.endpoint.Labels == nil {
			m.endpoint.Labels = map[string]string{}
		}
		m.endpoint.Labels["shard"] = strconv.Itoa(*n.Shard)
	}
	return m, true, nil
}

// encodeServerSet makes a member. Its number is not the ensemble's: it is made of the address, so that a successor finds it,
// of digits, because older readers take no other, and greater than any that a server counts to.
func encodeServerSet(additional string, m member) (string, []byte, error) {
	host, port, err := hostPort(m.endpoint.Addr)
	if err != nil {
		return "", nil, err
	}
	meta := map[string]string{}
	for k, v := range m.endpoint.Labels {
		meta[k] = v
	}
	for k, v := range map[string]string{"zone": m.endpoint.Zone, "version": m.endpoint.Version} {
		if v != "" {
			meta[k] = v
		}
	}
	n := serverSetNode{Service: &hostAndPort{host, port}, Additional: map[string]hostAndPort{}, Status: "ALIVE"}
	if len(meta) > 0 {
		if n.Metadata, err = json.Marshal(meta); err != nil {
			return "", nil, err
		}
	}
	if additional != "" {
		n.Additional[additional] = *n.Service
	}
	data, err := json.Marshal(n)
	h := sha256.Sum256([]byte(m.endpoint.Addr))
	return fmt.Sprintf("%s%d", memberPrefix, binary.BigEndian.Uint64(h[:])>>2|1<<62), data, err
}

func hostPort(addr string) (string, int, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.Atoi(port)
	return host, n, err
}

package kubernetes

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/flowcontrol"
)

// ClientConfig says how the API server is reached. Zero fields mean their defaults.
type ClientConfig struct {
	Kubeconfig string  // path of a kubeconfig; "": as a pod of the cluster, with its ServiceAccount
	Context    string  // of the kubeconfig; "": its current one
	QPS        float64 // requests a second at most, watches counted when they begin; default 20
	Burst      int     // … at once; default 50
	UserAgent  string  // default bellhop
	Log        *slog.Logger
}

// Client is a connection to one API server, for any number of sources. Safe for concurrent use.
type Client struct {
	core, discovery rest.Interface
	transport       http.RoundTripper
	server          string
	log             *slog.Logger
}

// NewClient reads the access and makes a client. It connects to nobody: an API server that is down is no error here.
// The first client of a process takes client-go's own log lines, which are process-wide, into its log.
func NewClient(c ClientConfig) (*Client, error) {
	if c.QPS == 0 {
		c.QPS = 20
	}
	if c.Burst == 0 {
		c.Burst = 50
	}
	if c.UserAgent == "" {
		c.UserAgent = "bellhop"
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.QPS < 0 || c.Burst < 0 {
		return nil, fmt.Errorf("kubernetes: %v requests a second, %d at once; write positive numbers", c.QPS, c.Burst)
	}
	cfg, err := access(c)
	if err != nil {
		return nil, fmt.Errorf("kubernetes: %w", err)
	}
	takeLogs(c.Log)
	cfg.UserAgent = c.UserAgent
	cfg.WarningHandler = rest.NoWarnings{}
	cfg.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(float32(c.QPS), c.Burst)
	cfg.ContentType, cfg.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf
	cfg.NegotiatedSerializer = serializer.NewCodecFactory(kinds()).WithoutConversion()
	h, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("kubernetes: access to %s: %w", cfg.Host, err)
	}
	h.Timeout = 0 // it would end every watch; lists have a bound of their own
	k := &Client{transport: h.Transport, server: cfg.Host, log: c.Log}
	if k.core, err = restClient(cfg, h, "/api", coreV1); err == nil {
		k.discovery, err = restClient(cfg, h, "/apis", discoveryv1.SchemeGroupVersion)
	}
	if err != nil {
		return nil, fmt.Errorf("kubernetes: access to %s: %w", cfg.Host, err)
	}
	return k, nil
}

// access is what a kubeconfig or the pod's own files say.
func access(c ClientConfig) (*rest.Config, error) {
	if c.Kubeconfig == "" {
		cfg, err := rest.InClusterConfig()
		if errors.Is(err, rest.ErrNotInCluster) {
			return nil, errors.New("this is no pod of a cluster (KUBERNETES_SERVICE_HOST is not set) and no kubeconfig is named; name one")
		}
		if err != nil {
			return nil, fmt.Errorf("the pod's ServiceAccount: %w; set automountServiceAccountToken: true, or name a kubeconfig", err)
		}
		return cfg, nil
	}
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: c.Kubeconfig},
		&clientcmd.ConfigOverrides{CurrentContext: c.Context}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", c.Kubeconfig, err)
	}
	return cfg, nil
}

func restClient(cfg *rest.Config, h *http.Client, path string, gv schema.GroupVersion) (rest.Interface, error) {
	own := rest.CopyConfig(cfg)
	own.APIPath, own.GroupVersion = path, &gv
	return rest.RESTClientForConfigAndClient(own, h)
}

var coreV1 = corev1.SchemeGroupVersion

// kinds are those that this package reads. A scheme of all kinds would keep all of them in the binary.
func kinds() *runtime.Scheme {
	s := runtime.NewScheme()
	s.AddKnownTypes(coreV1, &corev1.Service{}, &corev1.ServiceList{}, &corev1.Pod{}, &corev1.PodList{}, &corev1.ConfigMap{}, &corev1.ConfigMapList{})
	s.AddKnownTypes(discoveryv1.SchemeGroupVersion, &discoveryv1.EndpointSlice{}, &discoveryv1.EndpointSliceList{})
	metav1.AddToGroupVersion(s, coreV1)
	metav1.AddToGroupVersion(s, discoveryv1.SchemeGroupVersion)
	return s
}

// Server is the address of the API server, for messages.
func (c *Client) Server() string { return c.server }

// Close ends idle connections. Call it when everything that uses the client has returned.
func (c *Client) Close() { utilnet.CloseIdleConnectionsFor(c.transport) }

package kubernetes

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// expired: what was asked for lies before what the API server still knows. It is no trouble: a new listing is.
func expired(err error) bool { return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) }

// explain says what an error of a request means, and what to do.
func explain(err error, r *resource) string {
	where := "in all namespaces"
	role := "ClusterRole"
	if r.namespace != "" {
		where, role = "in the namespace "+r.namespace, "Role"
	}
	var unknownCA x509.UnknownAuthorityError
	var wrongName x509.HostnameError
	switch {
	case apierrors.IsForbidden(err):
		return fmt.Sprintf("no access: may not list and watch %s (apiGroup %q) %s; a %s needs both verbs on them, as in registry/kubernetes/rbac.yaml",
			r.name, r.group, where, role)
	case apierrors.IsUnauthorized(err):
		return "the API server does not know who this is: the token or client certificate is wrong or has run out (" + clip(err.Error()) + ")"
	case apierrors.IsNotFound(err):
		return fmt.Sprintf("the API server has no %s (apiGroup %q, version v1); Kubernetes 1.21 or later has", r.name, r.group)
	case apierrors.IsTooManyRequests(err):
		return "the API server is too busy, and asked to wait (" + clip(err.Error()) + ")"
	case errors.As(err, &unknownCA):
		return "the API server's certificate is signed by nobody whom the access names; check certificate-authority (" + clip(err.Error()) + ")"
	case errors.As(err, &wrongName):
		return "the API server's certificate is for another name; check server, or tls-server-name (" + clip(err.Error()) + ")"
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer within %s", listTimeout)
	}
	var request *url.Error // it begins with a URL that is another one every time
	if errors.As(err, &request) {
		err = request.Err
	}
	return clip(err.Error())
}

const maxShown = 300 // bytes that are shown of other people's text

// clip shortens what is shown of other people's text, and keeps it on one line.
func clip(s string) string {
	if len(s) > maxShown {
		s = s[:maxShown] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "")) // a cut goes through characters
}

package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxAnswer bounds what is read of an answer, in bytes: 100,000 endpoints fit.
const maxAnswer = 64 << 20

// Ask gets path, with its query, from the admin side at addr (unix:/path or host:port) and decodes the answer into out.
// The error says what to do when nobody is there.
func Ask(ctx context.Context, addr, path string, out any) error {
	return ask(ctx, http.MethodGet, addr, path, out)
}

// Do is Ask for what changes something.
func Do(ctx context.Context, addr, path string, out any) error {
	return ask(ctx, http.MethodPost, addr, path, out)
}

func ask(ctx context.Context, method, addr, path string, out any) error {
	c := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			d := net.Dialer{Timeout: 2 * time.Second}
			if path, ok := strings.CutPrefix(addr, "unix:"); ok {
				return d.DialContext(ctx, "unix", path)
			}
			return d.DialContext(ctx, "tcp", addr)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://bellhop"+path, nil)
	if err != nil {
		return err
	}
	res, err := c.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return fmt.Errorf("no answer from the admin side %s: %w; is a proxy running with this run directory, and may this user open the socket?", addr, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("the admin side %s: %w", addr, err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the admin side %s answered %s: %s", addr, res.Status, strings.TrimSpace(string(b)))
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("the admin side %s answered what can't be read: %w", addr, err)
	}
	return nil
}

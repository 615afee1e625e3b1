// Package gateway is one local door in front of several servers, as the front
// end is in the cloud: it routes, says who called, and adds nothing else.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"
)

// Route sends the requests that match a net/http ServeMux pattern to a target.
type Route struct {
	Pattern string // with or without a method
	Target  string // a name of Options.Targets
}

// Options say what is behind the door. All but Port and Pages
// are required.
type Options struct {
	Port     int               // of 127.0.0.1; 0: any free one
	Targets  map[string]string // name → base URL
	Routes   []Route
	Pages    map[string]http.Handler // path → what the gateway answers itself
	NotFound http.Handler            // answers what no route matches
	// Unavailable answers when a target cannot be reached. The error is for
	// the log.
	Unavailable func(w http.ResponseWriter, r *http.Request, target string, err error)
}

// Gateway is a running gateway.
type Gateway struct {
	url       string
	server    *http.Server
	transport *http.Transport
	served    chan struct{}
	err       error // of Serve, once served is closed
}

// Start serves. It fails if a route is malformed, conflicts with another or
// names an unknown target, or if the port is in use.
func Start(opts Options) (*Gateway, error) {
	transport := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 2 * time.Second}).DialContext,
		ResponseHeaderTimeout: 5 * time.Minute,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       time.Minute,
		DisableCompression:    true, // what the client asked for passes as it is
	}
	handler, err := route(opts, transport)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", opts.Port))
	if err != nil {
		return nil, fmt.Errorf("port %d of 127.0.0.1 cannot be used (%w): stop what listens there or choose another port", opts.Port, err)
	}
	g := &Gateway{url: "http://" + ln.Addr().String(), transport: transport, served: make(chan struct{})}
	g.server = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      6 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	go func() {
		defer close(g.served)
		g.err = g.server.Serve(ln)
	}()
	return g, nil
}

// URL is the base URL of the gateway.
func (g *Gateway) URL() string { return g.url }

// Stop takes no new connection and waits for requests in flight until ctx
// ends, then cuts them off.
func (g *Gateway) Stop(ctx context.Context) error {
	err := g.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, g.server.Close())
	}
	<-g.served
	g.transport.CloseIdleConnections()
	if !errors.Is(g.err, http.ErrServerClosed) {
		err = errors.Join(err, g.err)
	}
	if err != nil {
		return fmt.Errorf("stop the gateway: %w", err)
	}
	return nil
}

func route(opts Options, transport http.RoundTripper) (http.Handler, error) {
	proxies := map[string]http.Handler{}
	for name, base := range opts.Targets {
		target, err := url.Parse(base)
		if err != nil || target.Host == "" {
			return nil, fmt.Errorf("target %s: %q is not a base URL", name, base)
		}
		proxies[name] = proxy(name, target, transport, opts.Unavailable)
	}
	mux := http.NewServeMux()
	mux.Handle("/", opts.NotFound)
	mux.HandleFunc("/health", health)
	mux.Handle("/ready", readiness(opts.Targets))
	for path, page := range opts.Pages {
		if err := register(mux, path, page); err != nil {
			return nil, err
		}
	}
	for _, r := range methodless(opts.Routes) {
		handler, ok := proxies[r.Target]
		if !ok {
			return nil, fmt.Errorf("route %q: there is no target %q", r.Pattern, r.Target)
		}
		if err := register(mux, r.Pattern, handler); err != nil {
			return nil, err
		}
	}
	return mux, nil
}

// methodless drops the method of routes whose path belongs to one target
// alone, so that a wrong method reaches that target, which answers 405 as it
// would in the cloud.
func methodless(routes []Route) []Route {
	targets := map[string]map[string]bool{}
	for _, r := range routes {
		path := pathOf(r.Pattern)
		if targets[path] == nil {
			targets[path] = map[string]bool{}
		}
		targets[path][r.Target] = true
	}
	seen := map[Route]bool{}
	var out []Route
	for _, r := range routes {
		if len(targets[pathOf(r.Pattern)]) == 1 {
			r.Pattern = pathOf(r.Pattern)
		}
		if !seen[r] {
			seen[r] = true
			out = append(out, r)
		}
	}
	return out
}

func pathOf(pattern string) string {
	if i := strings.IndexAny(pattern, " \t"); i >= 0 {
		return strings.TrimLeft(pattern[i:], " \t")
	}
	return pattern
}

// register turns the panic of a bad or conflicting pattern into an error.
func register(mux *http.ServeMux, pattern string, handler http.Handler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("route %q: %v", pattern, p)
		}
	}()
	mux.Handle(pattern, handler)
	return nil
}

// proxy passes requests on as they are, and bytes of the answer as they come.
// What the caller says about forwarding is not believed.
func proxy(name string, target *url.URL, transport http.RoundTripper, unavailable func(http.ResponseWriter, *http.Request, string, error)) http.Handler {
	return &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.SetXForwarded()
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() != nil {
				panic(http.ErrAbortHandler) // the caller has gone
			}
			unavailable(w, r, name, err)
		},
	}
}

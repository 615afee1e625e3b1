// The functions of Plant, one binary: FUNCTION_TARGET says which one a process
// is. "functions routes" prints the table of routes as JSON, "functions config" that
// of settings, "functions authorities" who may do what, and each exits.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"
	"github.com/GoogleCloudPlatform/functions-framework-go/functions"
	"github.com/sethvargo/go-envconfig"

	"github.com/dlai-sd/plant/shared/auth"
	"github.com/dlai-sd/plant/shared/web"
)

// drainTimeout is how long requests in flight may take after SIGTERM: Cloud Run
// kills after ten seconds.
const drainTimeout = 9 * time.Second

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "functions:", oneLine(err))
		os.Exit(1)
	}
}

// oneLine keeps an error that a library spread over lines together in a log.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\t' }), " ")
}

func run(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "routes":
		return printRoutes(os.Stdout)
	case len(args) == 1 && args[0] == "config":
		return printVariables(os.Stdout)
	case len(args) == 1 && args[0] == "authorities":
		return printAuthorities(os.Stdout)
	case len(args) > 0:
		return fmt.Errorf("unknown argument %q: set FUNCTION_TARGET, or say routes, config or authorities", args[0])
	}
	if err := refuseUnknown(os.Environ()); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	cfg, err := readConfig(ctx, envconfig.OsLookuper())
	if err != nil {
		return err
	}
	d := &deps{cfg: cfg, log: web.NewLogger(os.Stdout, cfg.Function)}
	handler, err := d.handler(ctx)
	if err != nil {
		return errors.Join(err, d.close())
	}
	return errors.Join(serve(ctx, cfg, d.log, handler), d.close())
}

// handler opens the function and puts it behind what every request gets.
func (d *deps) handler(ctx context.Context) (*web.Handler, error) {
	f, err := d.open(ctx)
	if err != nil {
		return nil, err
	}
	origins, err := web.ParseOrigins(d.cfg.CORSOrigins)
	if err != nil {
		return nil, fmt.Errorf("CORS_ORIGINS: %w", err)
	}
	var mux web.Mux
	mux.Handle("GET /health", web.Health())
	mux.Handle("GET /ready", web.Ready(readyTimeout, f.checks...))
	for _, r := range Routes() {
		if r.Function != d.cfg.Function {
			continue
		}
		h, ok := f.handlers[r.Operation]
		if !ok {
			return nil, fmt.Errorf("route %s: %s has no operation %s", r.Pattern, r.Function, r.Operation)
		}
		mux.Handle(r.Pattern, d.guard(r, f, h))
	}
	return web.Wrap(flushed(&mux), web.Options{Logger: d.log, Project: d.cfg.Project, Origins: origins}), nil
}

// flushed sends an answer before its request counts as done: once all are, the
// process ends, and net/http would only have sent what a handler left behind
// after that.
func flushed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		_ = http.NewResponseController(w).Flush() // the reader is gone, or it works
	})
}

// guard lets in whom a route is for. There is no switch that turns it off.
func (d *deps) guard(r Route, f function, h http.Handler) http.Handler {
	switch r.Access {
	case Open:
		return h
	case Bearer:
		if f.standing {
			h = auth.Standing(d.db, h)
		}
		if f.expired != nil {
			return auth.BearerNoting(d.bearer, f.expired(r.Operation), h)
		}
		return auth.Bearer(d.bearer, h)
	case Caller:
		return auth.Either(d.bearer, d.push, h)
	default:
		return d.push.Require(h)
	}
}

// serve runs the framework's server until a signal comes, then lets requests in
// flight finish. The framework keeps its server to itself, so the process's end
// is what closes the listener.
func serve(ctx context.Context, cfg Config, log *slog.Logger, h *web.Handler) error {
	functions.HTTP(cfg.Function, h.ServeHTTP)
	failed := make(chan error, 1)
	go func() { failed <- funcframework.StartHostPort(cfg.Host, strconv.Itoa(cfg.Port)) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	if err := h.Drain(drain); err != nil {
		log.WarnContext(drain, "stopping with requests in flight: "+web.Describe(err))
		return nil
	}
	log.InfoContext(drain, "stopped")
	return nil
}

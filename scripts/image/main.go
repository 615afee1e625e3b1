// Image builds the one image of Plant without Docker: the functions' binary, the
// command line for the jobs, the embedding model, certificates and nothing else.
// The same source and the same Go give the same digest, on any machine.
//
//	image -out bin/image                       an OCI layout in that folder
//	image -push REGION-docker.pkg.dev/P/plant  push it by digest and print the reference
//	image -root DIR                            only the files, for a Dockerfile
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/dlai-sd/plant/scripts/localstack/parts"
)

// deadline bounds a build with all its downloads and the push.
const deadline = 30 * time.Minute

type options struct {
	out, push, root, arch, cache, model, module string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer, stderr *os.File) error {
	var o options
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.out, "out", "", "folder for the OCI layout")
	flags.StringVar(&o.push, "push", "", "repository to push to, by digest")
	flags.StringVar(&o.root, "root", "", "folder for the plain files instead of an image")
	flags.StringVar(&o.arch, "arch", "amd64", "processor, as Go names it; Cloud Run runs amd64")
	flags.StringVar(&o.cache, "cache", os.Getenv("PLANT_CACHE"), "folder of downloaded parts")
	flags.StringVar(&o.model, "model", "", "folder of the model; fetched by hash where it is not given")
	flags.StringVar(&o.module, "module", ".", "folder of the source")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || o.out == "" && o.push == "" && o.root == "" {
		return errors.New("say -out FOLDER, -push REPOSITORY or -root FOLDER")
	}
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	work, err := os.MkdirTemp("", "plant-image-")
	if err != nil {
		return fmt.Errorf("make a folder to build in: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }() // only what could be built again
	layers, err := o.layers(ctx, work, stderr)
	if err != nil {
		return err
	}
	if o.root != "" {
		return writeRoot(o.root, layers)
	}
	img, err := assemble(layers, o.arch)
	if err != nil {
		return err
	}
	return o.deliver(ctx, img, layers, stdout)
}

// layers gathers what the image holds; what changes least comes first, so that
// a new version uploads only its binaries.
func (o options) layers(ctx context.Context, work string, stderr *os.File) ([]layer, error) {
	base, err := baseFiles(filepath.Join(o.module, "LICENSE"))
	if err != nil {
		return nil, err
	}
	folder := o.model
	if folder == "" {
		if folder, err = o.fetchModel(ctx, stderr); err != nil {
			return nil, err
		}
	}
	model, err := modelFiles(folder)
	if err != nil {
		return nil, err
	}
	binaries, err := compile(ctx, o.module, work, o.arch)
	if err != nil {
		return nil, err
	}
	return []layer{{"base", base}, {"model", model}, {"binaries", binaries}}, nil
}

func (o options) fetchModel(ctx context.Context, stderr *os.File) (string, error) {
	dir := o.cache
	if dir == "" {
		var err error
		if dir, err = parts.DefaultDir(); err != nil {
			return "", err
		}
	}
	return parts.Fetcher{Dir: dir, Report: parts.Progress(stderr, os.Getenv("NO_COLOR") != "")}.Fetch(ctx, parts.Model())
}

func (o options) deliver(ctx context.Context, img v1.Image, layers []layer, stdout io.Writer) error {
	digest, err := img.Digest()
	if err != nil {
		return fmt.Errorf("digest: %w", err)
	}
	if o.out != "" {
		if err := writeLayout(o.out, img, o.arch); err != nil {
			return err
		}
	}
	if err := describe(stdout, img, layers); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "built with %s\n%s\n", runtime.Version(), digest)
	if o.push == "" {
		return nil
	}
	reference, err := push(ctx, o.push, img)
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, reference)
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/dlai-sd/plant/scripts/localstack/port"
)

type demoCmd struct{}

// demoSkill is what the demonstration creates.
const demoSkill = `{"name":"Bread baking","description":"Makes bread that people come back for.","category":"domain_expertise","external_id":"bread"}`

// Run starts a stack of its own in a temporary folder, creates a skill, proves
// its record and what a changed byte does, and leaves nothing behind.
func (demoCmd) Run(a *app) (failed error) {
	dir, err := os.MkdirTemp("", "plant-demo-")
	if err != nil {
		return explain(err)
	}
	defer func() { failed = errors.Join(failed, os.RemoveAll(dir)) }()
	ports, err := port.Free(1)
	if err != nil {
		return err
	}
	own := *a
	own.dir, own.settings = filepath.Join(dir, "data"), settings{}
	s := &stack{cmd: runCmd{Port: ports[0], Postgres: 18}, app: &own}
	start, cancel := context.WithTimeout(a.ctx, startTimeout)
	defer cancel()
	err = s.start(start)
	if err == nil {
		err = demonstrate(&own, filepath.Join(dir, "record"))
	}
	stop, cancelStop := context.WithTimeout(context.WithoutCancel(a.ctx), stopTimeout)
	defer cancelStop()
	return explain(errors.Join(err, s.stop(stop), s.forget()))
}

// forget removes what the stack keeps outside its data folder.
func (s *stack) forget() error {
	folder, err := s.postgresFolder()
	if err != nil {
		return err
	}
	return os.RemoveAll(filepath.Dir(folder))
}

func demonstrate(a *app, out string) error {
	to, err := a.connect()
	if err != nil {
		return err
	}
	var created struct {
		ID          string `json:"id"`
		VersionHash string `json:"version_hash"`
		TamperProof bool   `json:"tamper_proof"`
	}
	began := time.Now()
	if err := to.post(a.ctx, skillsPath, "demo", []byte(demoSkill), &created); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "1. created skill %s in %s; its record's hash is\n   %s\n", created.ID,
		time.Since(began).Round(time.Millisecond), created.VersionHash)
	first := created.ID
	if err := to.post(a.ctx, skillsPath, "demo", []byte(demoSkill), &created); err != nil {
		return err
	}
	if created.ID != first {
		return errors.New("the same request made another skill")
	}
	fmt.Fprintln(a.stdout, "2. sent the same request again: the same skill came back, nothing was written twice")
	chain, err := readChain(a.ctx, to, skillsPath+"/"+first)
	if err != nil {
		return err
	}
	if err := verifyChain(chain); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "3. verified signature, opening and link of %d amendment\n", len(chain))
	quiet := *a
	quiet.json, quiet.stdout = false, discard{}
	if err := (showCmd{Out: out}).writeRecord(&quiet, chain); err != nil {
		return err
	}
	return withOpenssl(a, out)
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// withOpenssl checks the record as an auditor would, then once more with a byte
// changed.
func withOpenssl(a *app, out string) error {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		fmt.Fprintln(a.stdout, "4. openssl is not installed here: install it to check the record without Plant")
		return nil
	}
	verify := func() ([]byte, error) {
		ctx, cancel := context.WithTimeout(a.ctx, 10*time.Second)
		defer cancel()
		return exec.CommandContext(ctx, openssl, "dgst", "-sha256", // #nosec -- the program and files are this command's own
			"-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32", "-verify", filepath.Join(out, "key.pem"),
			"-signature", filepath.Join(out, "signature"), filepath.Join(out, "record.json")).Output()
	}
	answer, err := verify()
	if err != nil {
		return fmt.Errorf("openssl does not accept the record: %w", err)
	}
	fmt.Fprintf(a.stdout, "4. openssl says of the record: %s", answer)
	record := filepath.Join(out, "record.json")
	b, err := os.ReadFile(record) // #nosec -- written by this command
	if err != nil {
		return err
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(record, b, 0o600); err != nil {
		return err
	}
	if answer, err = verify(); err == nil {
		return errors.New("openssl accepts a changed record")
	}
	fmt.Fprintf(a.stdout, "5. after one bit was changed it says: %s", answer)
	return nil
}

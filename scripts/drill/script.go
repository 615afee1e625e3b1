package drill

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/dlai-sd/plant/shared/bundle"
	"github.com/go-json-experiment/json"
)

// sample is a scene that verify.py judges too.
type sample struct {
	row   int // of the result; -1 for a clean bundle
	scene *Scene
}

// ErrNoPython says that verify.py could not be asked.
var ErrNoPython = errors.New("no python3: verify.py was not asked")

// script lets one process of verify.py judge all samples, and compares.
func (d *drill) script(ctx context.Context) error {
	python, err := exec.LookPath("python3")
	if err != nil {
		return ErrNoPython
	}
	dir, err := os.MkdirTemp("", "plant-drill-")
	if err != nil {
		return fmt.Errorf("verify.py: %w", err)
	}
	err = d.ask(ctx, python, dir)
	return errors.Join(err, os.RemoveAll(dir))
}

func (d *drill) ask(ctx context.Context, python, dir string) error {
	var list []byte
	for i, s := range d.samples {
		line, err := s.lay(dir, i)
		if err != nil {
			return fmt.Errorf("verify.py: %w", err)
		}
		list = append(append(list, line...), '\n')
	}
	program, names := filepath.Join(dir, "verify.py"), filepath.Join(dir, "list")
	if err := errors.Join(os.WriteFile(program, bundle.Script(), 0o600), os.WriteFile(names, list, 0o600)); err != nil {
		return fmt.Errorf("verify.py: %w", err)
	}
	cmd := exec.CommandContext(ctx, python, "-B", program, "--many", names) // #nosec G204 -- our own script
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	answers := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	if err != nil || len(answers) != len(d.samples) {
		return fmt.Errorf("verify.py: %d answers of %d: %w: %s", len(answers), len(d.samples), err, stderr.Bytes())
	}
	for i, s := range d.samples {
		d.compare(s, answers[i])
	}
	return nil
}

// lay writes a sample's files and returns its line for --many.
func (s sample) lay(dir string, number int) ([]byte, error) {
	o := s.scene.Options
	der, err := x509.MarshalPKIXPublicKey(o.Trust)
	if err != nil {
		return nil, err
	}
	name := func(ending string) string { return filepath.Join(dir, fmt.Sprintf("%d.%s", number, ending)) }
	err = errors.Join(
		os.WriteFile(name("zip"), s.scene.zipped(), 0o600),
		os.WriteFile(name("pem"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600),
		os.WriteFile(name("seen"), o.Seen, 0o600))
	if err != nil {
		return nil, err
	}
	return encode(map[string]any{
		"bundle": name("zip"), "trust": name("pem"), "seen": name("seen"), "origin": o.Origin,
		"scope": o.Scope.String(), "now": o.Now.Format(time.RFC3339Nano),
	}), nil
}

// compare holds an answer against what our verifier says.
func (d *drill) compare(s sample, answer []byte) {
	var got struct {
		Verdicts  map[string]*bundle.Offender `json:"verdicts"`
		NotBundle string                      `json:"not_bundle"`
	}
	_ = json.Unmarshal(answer, &got) // of another form: nothing, which agrees with nothing
	bare := *s.scene
	bare.Options.WithoutRules = true
	report, err := bare.judge()
	var want map[string]*bundle.Offender
	if err == nil {
		want = map[string]*bundle.Offender{}
		for _, v := range report.Verdicts() {
			if want[v.Name] = v.Offender; v.Offender != nil {
				v.Offender.Detail = ""
			}
		}
	}
	agree := (err != nil) == (got.NotBundle != "") && bytes.Equal(encode(want), encode(got.Verdicts))
	told := fmt.Sprintf("verify.py: %s, ours: %s", answer, said(report, err))
	switch {
	case s.row < 0 && !agree:
		d.result.FalseAlarms = append(d.result.FalseAlarms, told)
	case s.row >= 0 && agree:
		d.result.Rows[s.row].ScriptAgrees++
	case s.row >= 0:
		d.result.Rows[s.row].ScriptMissed = append(d.result.Rows[s.row].ScriptMissed, told)
	}
}

package bundle

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	_ "embed" // of the page's template
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"

	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/translog"
	"golang.org/x/mod/sumdb/note"
)

//go:embed VERIFY.md.tmpl
var guideText string

// guideData is what VERIFY.md says of this bundle.
type guideData struct {
	Origin, Scope, Created string
	Roots                  []string // ids of root keys
	Heads                  translog.Heads
	Size                   int64

	HasSample   bool
	Sample      ledger.Record
	SampleIndex int64
	SampleFile  string
	SampleSalt  string // hex; "" without an opening
	Steps       []guideStep

	CheckpointKey  string // id; "" where no key of the bundle signed
	CheckpointLine string // how its signature line begins
}

// guideStep is one step of the inclusion path.
type guideStep struct {
	Left, Right string // "$h" or a hash
}

// guide returns VERIFY.md.
func (w *writer) guide() ([]byte, error) {
	c := w.contents
	data := guideData{Origin: c.Origin, Scope: c.Scope.String(), Created: c.CreatedAt.UTC().Format(ledger.TimeLayout)}
	for _, id := range slices.Sorted(maps.Keys(w.keys)) {
		if w.keys[id].use == ledger.UseRoot {
			data.Roots = append(data.Roots, id)
		}
	}
	if h, err := translog.ReadHeads(c.Heads.Record); err == nil {
		data.Heads = h
	}
	if p, err := translog.ReadCheckpoint(c.Checkpoint); err == nil {
		data.Size = p.Size
		data.CheckpointKey, data.CheckpointLine = w.checkpointKey()
	}
	if w.sample != nil {
		data.sample(*w.sample)
	}
	t, err := template.New(guideFile).Parse(guideText)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", guideFile, err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return nil, fmt.Errorf("%s: %w", guideFile, err)
	}
	return b.Bytes(), nil
}

// sample tells of the record that is checked by hand.
func (d *guideData) sample(l Line) {
	r, err := ledger.ReadRecord(l.Bytes)
	if err != nil {
		return
	}
	d.HasSample, d.Sample, d.SampleIndex, d.SampleFile = true, r, l.LogIndex, amendmentsFile
	if r.EntityType == signingKey {
		d.SampleFile = keysFile
	}
	if l.Opening != nil {
		d.SampleSalt = ledger.Hash(l.Opening.Salt).String()
	}
	// Which side a path's hash stands on follows from index and size (RFC 6962,
	// section 2.1.1).
	at, last := l.LogIndex, d.Size-1
	for _, h := range l.Inclusion {
		for at == last && at%2 == 0 && last > 0 {
			at, last = at/2, last/2
		}
		if at%2 == 1 {
			d.Steps = append(d.Steps, guideStep{h.String(), `"$h"`})
		} else {
			d.Steps = append(d.Steps, guideStep{`"$h"`, h.String()})
		}
		at, last = at/2, last/2
	}
}

// checkpointKey returns the id of the key that signed the checkpoint, and how its
// signature line begins.
func (w *writer) checkpointKey() (id, line string) {
	for _, id := range slices.Sorted(maps.Keys(w.keys)) {
		public, err := x509.ParsePKIXPublicKey(w.keys[id].spki)
		key, ok := public.(ed25519.PublicKey)
		if err != nil || !ok {
			continue
		}
		if _, _, err := translog.OpenCheckpoint(w.contents.Checkpoint, w.contents.Origin, []ed25519.PublicKey{key}); err != nil {
			continue
		}
		text, err := note.NewEd25519VerifierKey(w.contents.Origin, key)
		if err != nil {
			continue
		}
		v, err := note.NewVerifier(text)
		if err != nil {
			continue
		}
		// Four bytes name the key; the first five characters of their base64 are
		// the same on every line that it signs.
		prefix := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, v.KeyHash()))[:5]
		return id, "— " + w.contents.Origin + " " + prefix
	}
	return "", ""
}

// Quote quotes a text for a shell.
func (d guideData) Quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dlai-sd/plant/shared/compliance"
	"github.com/dlai-sd/plant/shared/ledger"
	"github.com/dlai-sd/plant/shared/translog"
)

// chunk is how many bytes of amendments.jsonl are held at once. A longer file is
// read several times, each time for another share of its entities.
const chunk = 64 << 20

// verifier holds what is known of a bundle before its lines are read.
type verifier struct {
	fsys  fs.FS
	opts  Options
	root  string // key id of the pinned root
	chunk int64
	files []string // all of the bundle's, sorted

	manifest       manifest
	scope          Scope
	date           time.Time // of scope agent
	checkpointText []byte
	checkpoint     translog.Checkpoint
	checkpointRead bool
	headsText      headsText
	heads          translog.Heads
	headsError     error                // why the heads record cannot be read
	known          map[ledger.Hash]bool // constitutions
	checklists     map[ledger.Hash]bool
	rules          compliance.Rules // those of the constitutions that this build can judge by
	claims         claims
	progress       meter

	sampleRecord, sampleSignature []byte

	ring                 *ledger.Keyring
	signature, integrity findings
	judged, violating    atomic.Int64 // entities, by the rules
}

// Verify judges a bundle: a folder, or what NewZip returns. It reads nothing
// else, takes no key and no name from the bundle that the options do not vouch
// for, and holds no more than about 256 MiB of its text at a time, and 500 bytes
// of every entity and entry.
//
// The error is a *NotBundleError, or says which option is missing; a bundle that
// could be read has a Report, whatever it says.
func Verify(fsys fs.FS, opts Options) (Report, error) { return verify(fsys, opts, chunk) }

func verify(fsys fs.FS, opts Options, chunk int64) (Report, error) {
	v, err := newVerifier(fsys, opts, chunk)
	if err != nil {
		return Report{}, err
	}
	if err := v.load(); err != nil {
		return Report{}, err
	}
	v.progress.measure(fsys, opts.Progress)
	s, err := v.scanAll()
	if err != nil {
		return Report{}, err
	}
	keyFaults := v.judgeKeys(s.keys)
	if err := v.judgeChains(s, keyFaults); err != nil {
		return Report{}, err
	}
	if err := v.judgeFiles(s); err != nil {
		return Report{}, err
	}
	headsFault := v.judgeHeads()
	v.judgeForks()
	report := Report{
		Origin: opts.Origin, Scope: v.scope, LogSize: v.checkpoint.Size, HeadsAt: v.heads.RecordedAt,
		Amendments: int64(len(s.entries)), Entities: s.count(),
		Signature:    v.signature.verdict("signature"),
		Integrity:    v.integrity.verdict("integrity"),
		Completeness: verdictOf("completeness", v.completeness(s)),
		Freshness:    verdictOf("freshness", v.freshness(s, headsFault)),
		Rules:        RulesReport{v.judged.Load(), v.violating.Load()},
		Unjudged:     slices.DeleteFunc(v.files, judged),
	}
	if v.scope.Type == ScopeAgent {
		report.Agent = v.agentReport(s, report)
	}
	return report, nil
}

func verdictOf(name string, o *Offender) Verdict {
	return Verdict{Name: name, Passed: o == nil, Offender: o}
}

func newVerifier(fsys fs.FS, opts Options, chunk int64) (*verifier, error) {
	if opts.Trust == nil {
		return nil, errors.New("verify: no root is trusted")
	}
	root, err := ledger.KeyID(opts.Trust)
	if err != nil {
		return nil, fmt.Errorf("verify: trust: %w", err)
	}
	if err := ledger.CheckOrigin(opts.Origin); err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	if opts.Now.IsZero() || opts.MaxAge < 0 {
		return nil, errors.New("verify: no time, or a negative age")
	}
	if opts.MaxAge == 0 {
		opts.MaxAge = DefaultMaxAge
	}
	return &verifier{fsys: fsys, opts: opts, root: root, chunk: chunk, known: map[ledger.Hash]bool{}, checklists: map[ledger.Hash]bool{}}, nil
}

// load reads everything but the lines.
func (v *verifier) load() error {
	var err error
	if v.files, err = list(v.fsys); err != nil {
		return err
	}
	if v.manifest, err = readManifest(v.fsys); err != nil {
		return err
	}
	v.scope = *v.manifest.Scope
	v.date, _ = v.scope.at() // valid where the scope is an agent's
	if v.checkpointText, err = read(v.fsys, checkpointFile, maxCheckpoint); err != nil {
		return err
	}
	v.checkpoint, err = translog.ReadCheckpoint(v.checkpointText)
	v.checkpointRead = err == nil
	if v.headsText, err = readHeads(v.fsys, v.scope); err != nil {
		return err
	}
	v.heads, v.headsError = translog.ReadHeads([]byte(*v.headsText.Record))
	if err := v.loadDocuments(); err != nil {
		return err
	}
	if v.sampleRecord, err = readIfThere(v.fsys, sampleRecord, maxSample); err != nil {
		return err
	}
	v.sampleSignature, err = readIfThere(v.fsys, sampleSignature, maxSample)
	return err
}

// list returns the names of all files, at most 10,000.
func list(fsys fs.FS) ([]string, error) {
	var names []string
	seen := 0
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() {
			names = append(names, name)
		}
		if seen++; seen > maxFiles || strings.Count(name, "/") > maxDepth {
			return errTooMany
		}
		return nil
	})
	if err != nil {
		return nil, &NotBundleError{File: ".", Detail: "cannot be listed", Err: err}
	}
	slices.Sort(names)
	return names, nil
}

// maxDepth is how many folders may contain one another.
const maxDepth = 8

var errTooMany = errors.New("too many files or folders")

// judged reports whether a verdict speaks of a file.
func judged(name string) bool {
	switch name {
	case manifestFile, checkpointFile, headsFile, amendmentsFile, keysFile, sampleRecord, sampleSignature, complianceFile:
		return true
	}
	return isKeyFile(name) || isConstitution(name) || isChecklist(name)
}

func isKeyFile(name string) bool { return within(name, keysFolder, keyPEM) }

func isConstitution(name string) bool { return within(name, constitutions, constitutionJSON) }

func isChecklist(name string) bool { return within(name, checklists, constitutionJSON) }

func within(name, folder, ending string) bool {
	dir, file, _ := strings.Cut(name, "/")
	return dir == folder && !strings.Contains(file, "/") && strings.HasSuffix(file, ending)
}

// freshness returns the first thing that shows the bundle to be old, or not to
// continue what was seen before.
func (v *verifier) freshness(s *scan, headsFault error) *Offender {
	in := func(file string, reason ledger.Reason, detail string) *Offender {
		return &Offender{Reason: reason, File: file, Detail: detail}
	}
	if headsFault != nil {
		o := in(headsFile, ReasonHeadsInvalid, headsFault.Error())
		o.LogIndex = v.headsText.LogIndex
		return o
	}
	switch age := v.opts.Now.Sub(v.heads.RecordedAt); {
	case age > v.opts.MaxAge:
		return in(headsFile, ReasonStale, "the heads record is "+age.Round(time.Second).String()+" old")
	case age < -futureTolerance:
		return in(headsFile, ReasonFromTheFuture, "the heads record is "+(-age).Round(time.Second).String()+" ahead")
	}
	if v.opts.Seen == nil {
		return nil
	}
	seen, err := translog.JudgeSeen(v.ring, v.opts.Seen)
	if err != nil {
		return in(seenFile, ReasonSeenInvalid, err.Error())
	}
	own, err := translog.JudgeCheckpoint(v.ring, v.checkpointText)
	switch {
	case err != nil:
		return in(checkpointFile, ReasonCheckpointInvalid, err.Error())
	case own.Size < seen.Size:
		return in(checkpointFile, ReasonRollback, "the verifier has seen a larger log")
	case !v.continues(s, seen, own):
		return in(checkpointFile, ReasonSeenInconsistent, "not shown to continue the log that the verifier has seen")
	}
	return nil
}

// continues reports whether the checkpoint's log begins with the one that was
// seen: by rebuilding that one in scope all, else by the bundle's proof.
func (v *verifier) continues(s *scan, seen, own translog.Checkpoint) bool {
	switch {
	case seen.Size == 0:
		return seen.Root == translog.RootOf(nil)
	case seen.Size == own.Size:
		return seen.Root == own.Root
	case v.scope.Type == ScopeAll:
		entries := v.wholeLog(s)
		root, whole := rootOf(entries, seen.Size)
		return whole && root == seen.Root
	}
	path, ok := v.headsText.Consistency[fmt.Sprint(seen.Size)]
	return ok && translog.CheckConsistency(path, own.Size, own.Root, seen.Size, seen.Root) == nil
}

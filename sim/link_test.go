package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// link is a process's way to the store. All that can go wrong goes wrong here;
// the store behind it keeps its contract, and so does the link: a call ends with
// its context, a write lands at most once, and after a plain failure never.
type link struct{ p *proc }

var (
	errDead    = errors.New("the process has ended")
	errCut     = errors.New("the store is cut off")
	errRefused = errors.New("input/output error")
)

func (l link) Get(ctx context.Context, key string) (persistence.Object, error) {
	var o persistence.Object
	s, begun := l.store(), l.p.clock.now()
	hit, err := l.before(ctx, "get", key)
	if err != nil {
		return o, err
	}
	l.looksAt(s, key)
	if f := find(hit, faultStale); f != nil {
		o, err = s.before(key, f.d)
	} else {
		o, err = s.Get(ctx, key)
	}
	switch {
	case find(hit, faultMissing) != nil:
		o, err = persistence.Object{}, failed("get", key, persistence.ErrNotFound)
	case err == nil && find(hit, faultTorn) != nil:
		o.Value = torn(o.Value)
	case err == nil && find(hit, faultForeign) != nil:
		o.Value = foreign(key)
	}
	if aerr := l.after(ctx, "get", key, hit); aerr != nil {
		return persistence.Object{}, aerr
	}
	if errors.Is(err, persistence.ErrNotFound) && strings.HasPrefix(key, ledger.Folder) {
		l.p.tailRead(begun) // it asked for the next entry by its name
	}
	l.p.witness.read(l.p.h.w, key, o.Value, err, begun, l.p.clock.now())
	return o, err
}

// looksAt notes in which store the process looks for entries.
func (l link) looksAt(s *shared, key string) {
	if !strings.HasPrefix(key, ledger.Folder) {
		return
	}
	if last := l.p.listed.Load(); last == nil || last.at != s {
		l.p.listed.Store(&look{s, l.p.h.w.now()})
	}
}

func (l link) List(ctx context.Context, folder string) ([]string, error) {
	s, sent := l.store(), l.p.clock.now()
	hit, err := l.before(ctx, "list", folder)
	if err != nil {
		return nil, err
	}
	l.looksAt(s, folder)
	var names []string
	if f := find(hit, faultStale); f != nil {
		names, err = s.listBefore(ctx, folder, f.d)
	} else {
		names, err = s.List(ctx, folder)
	}
	if find(hit, faultMissing) != nil && len(names) > 0 {
		names = names[:len(names)-1]
	}
	if aerr := l.after(ctx, "list", folder, hit); aerr != nil {
		return nil, aerr
	}
	if err == nil && strings.HasPrefix(folder, ledger.Folder) {
		l.p.tailRead(sent)
	}
	return names, err
}

func (l link) Put(ctx context.Context, key string, value []byte) error {
	return l.write(ctx, "put", key, value)
}

func (l link) Create(ctx context.Context, key string, value []byte) error {
	return l.write(ctx, "create", key, value)
}

func (l link) Delete(ctx context.Context, key string) error {
	return l.write(ctx, "delete", key, nil)
}

func (l link) write(ctx context.Context, op, key string, value []byte) error {
	value = bytes.Clone(value)
	sent, s := l.p.renewalSent(key, value), l.store()
	if key == record.InventoryKey(l.p.h.name) {
		l.p.told(value)
	}
	if op == "create" {
		l.p.sends(key, value)
	}
	hit, err := l.before(ctx, op, key)
	if err != nil {
		if errors.Is(err, errWaited) {
			l.landLater(s, op, key, value, hit)
			return failed(op, key, fmt.Errorf("%w: %w", persistence.ErrUnknown, err))
		}
		return err
	}
	w, who := l.p.h.w, l.p.h.name
	if f := find(hit, faultLate); f != nil {
		w.tell("%s: %s %s will land %s late", who, op, key, f.d)
		l.land(s, op, key, value, f.d)
		return failed(op, key, persistence.ErrUnknown)
	}
	if find(hit, faultNever) != nil {
		w.tell("%s: %s %s is lost on its way", who, op, key)
		return failed(op, key, persistence.ErrUnknown)
	}
	err = w.land(s, op, key, value, who)
	if find(hit, faultLost) != nil {
		w.tell("%s: the answer to %s %s is lost", who, op, key)
		return failed(op, key, persistence.ErrUnknown)
	}
	if aerr := l.after(ctx, op, key, hit); aerr != nil {
		return failed(op, key, fmt.Errorf("%w: %w", persistence.ErrUnknown, aerr))
	}
	if err == nil {
		l.p.renewalAnswered(sent)
	}
	return err
}

// ListsDear implements persistence.Lister.
func (l link) ListsDear() bool { return l.p.h.spec.dear }

// look is a store in which a process looks for entries, and since when.
type look struct {
	at    *shared
	since time.Duration
}

// store is the one that the host sees now under its store's name.
func (l link) store() *shared {
	w := l.p.h.w
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case l.p.h.mounted != nil:
		return l.p.h.mounted
	case w.swapped != nil:
		return w.swapped
	}
	return w.store
}

// land lets a write take effect some time later, whatever became of who sent it.
func (l link) land(s *shared, op, key string, value []byte, d time.Duration) {
	w := l.p.h.w
	time.AfterFunc(d, func() {
		w.tell("%s: a late %s %s lands", l.p.h.name, op, key)
		_ = w.land(s, op, key, value, l.p.h.name)
	})
}

// landLater does so when the fault that held it is lifted, or half of the times.
func (l link) landLater(s *shared, op, key string, value []byte, hit []*fault) {
	if l.p.h.w.draw("lands", l.p.h.name, key) < 0.5 {
		return
	}
	if f := find(hit, faultSlow); f != nil && find(hit, faultHang) == nil {
		l.land(s, op, key, value, f.d)
		return
	}
	if f := find(hit, faultHang); f != nil {
		go func() {
			<-f.lifted
			l.land(s, op, key, value, time.Millisecond)
		}()
	}
}

// errWaited: the context ended while the call was under way.
var errWaited = errors.New("no answer in time")

// before is what happens to a call on its way to the store.
func (l link) before(ctx context.Context, op, key string) ([]*fault, error) {
	p, w := l.p, l.p.h.w
	if err := p.gate(); err != nil {
		return nil, err
	}
	p.step(op, key, "before")
	if err := p.gate(); err != nil {
		return nil, err
	}
	hit := p.h.storeFaults(op, key)
	if find(hit, faultOutage) != nil {
		return hit, failed(op, key, errCut)
	}
	if find(hit, faultFail) != nil {
		return hit, failed(op, key, errRefused)
	}
	if f := find(hit, faultHang); f != nil {
		select {
		case <-f.lifted:
		case <-p.dead:
			return hit, errDead
		case <-ctx.Done():
			return hit, fmt.Errorf("%w: %w", errWaited, context.Cause(ctx))
		}
	}
	d := time.Duration(0)
	// Nodes read the others' records in no particular order: these take no time.
	if w.exact && !strings.HasPrefix(key, "members/") && !strings.HasPrefix(key, "inventory/") || w.exact && !isRead(op) {
		d = time.Millisecond + time.Duration(fixed(p.h.name, op, key)*float64(time.Millisecond))
	}
	slow := find(hit, faultSlow)
	if slow != nil {
		d += slow.d
	}
	err := l.wait(ctx, d)
	if slow != nil {
		l.p.h.delayed()
	}
	if err != nil {
		return hit, err
	}
	if ctx.Err() != nil {
		return hit, fmt.Errorf("%w: %w", errWaited, context.Cause(ctx))
	}
	return hit, p.gate()
}

// after is what happens to the answer.
func (l link) after(ctx context.Context, op, key string, hit []*fault) error {
	if f := find(hit, faultTardy); f != nil {
		err := l.wait(ctx, f.d)
		l.p.h.delayed()
		if err != nil {
			return err
		}
	}
	l.p.step(op, key, "after")
	return l.p.gate()
}

// wait lets a call be under way for a while.
func (l link) wait(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-l.p.dead:
		return errDead
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errWaited, context.Cause(ctx))
	}
}

// storeFaults are those that hit a call of this host now.
func (h *host) storeFaults(op, key string) []*fault {
	w := h.w
	w.mu.Lock()
	fs := slices.Concat(w.common, h.faults)
	w.mu.Unlock()
	if len(fs) == 0 {
		return nil
	}
	return w.struck(fs, h.name, op, key)
}

func find(fs []*fault, kind string) *fault {
	for _, f := range fs {
		if f.kind == kind {
			return f
		}
	}
	return nil
}

func failed(op, key string, err error) error {
	return &persistence.Error{Op: op, Key: key, Err: err}
}

func torn(value []byte) []byte {
	return append(bytes.Clone(value[:len(value)/2]), '~')
}

// foreign is a whole record that does not belong there.
func foreign(key string) []byte {
	hb := record.Heartbeat{Cluster: "another", Node: "somebody", Incarnation: "1", Seq: 7}
	kind := record.KindHeartbeat
	if strings.HasPrefix(key, "ledger/") {
		kind = record.KindEntry
	}
	data, err := record.Seal(kind, hb)
	if err != nil {
		panic(err)
	}
	return data
}

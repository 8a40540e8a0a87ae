package target

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// A Program administers a server that has no adapter of its own: each administrative action is one call of it. It must end with
// 0; what it writes on its standard error is part of the error otherwise.
//
//	PROGRAM order KIND DEVICE   queue a command of this kind (as in [OrderKind]; sync: only push), and print its CommandUUID
//	PROGRAM invite N            print N enrolment links, one a line
type Program struct{ Path string }

// programTime is what one call may take: a thousand invitations are one.
const programTime = 5 * time.Minute

// Order queues a command for a device, or only wakes it; id is what the program printed.
func (p *Program) Order(ctx context.Context, device string, o Order) (id string, err error) {
	out, err := p.run(ctx, "order", string(o.Kind), device)
	return strings.TrimSpace(string(out)), err
}

// Invite makes one enrolment link for each user; the program is only told how many.
func (p *Program) Invite(ctx context.Context, upns []string) ([]Invitation, error) {
	out, err := p.run(ctx, "invite", strconv.Itoa(len(upns)))
	if err != nil {
		return nil, err
	}
	var all []Invitation
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		if line := strings.TrimSpace(lines.Text()); line != "" {
			all = append(all, Invitation{URL: line})
		}
	}
	if len(all) != len(upns) {
		return nil, fmt.Errorf("%s invite %d: it printed %d links", p.Path, len(upns), len(all))
	}
	return all, nil
}

func (p *Program) run(ctx context.Context, args ...string) ([]byte, error) {
	return finish(ctx, programTime, short(p.Path+" "+strings.Join(args, " ")), func(ctx context.Context) *exec.Cmd {
		return exec.CommandContext(ctx, p.Path, args...)
	})
}

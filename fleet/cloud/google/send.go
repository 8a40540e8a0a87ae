package google

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"rollcall/fleet/cloud"
)

// send answers messages:send. The 200 leaves after the message was delivered or kept.
func (s *Service) send(w http.ResponseWriter, r *http.Request) {
	project := r.PathValue("project")
	if r.PathValue("verb") != "messages:send" {
		notFound(w, r)
		return
	}
	var p Push
	name, no := s.take(r, project, &p)
	s.reply(w, &p, name, no)
}

// take reads a message, and delivers or keeps it.
func (s *Service) take(r *http.Request, project string, p *Push) (name string, no *failure) {
	granted, no := s.sender(r)
	switch {
	case no != nil:
		return "", no
	case granted != project:
		return "", otherProject
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		panic(http.ErrAbortHandler) // the request is gone and with it whoever would read an answer
	case len(body) > maxBody:
		return "", unreadable("", "Request payload size exceeds the limit: 65536 bytes.")
	}
	req, no := decode(body)
	p.Registration = req.fid + req.token
	if no != nil {
		return "", no
	}
	return s.accept(project, &req, p)
}

var (
	wellFormed = regexp.MustCompile(`^[cdef][A-Za-z0-9_-]{21}$`) // an installation's id
	tokenTail  = regexp.MustCompile(`^APA91b[A-Za-z0-9_-]{10,}$`)
)

// idIn returns the id of an installation in a fid or a token, which is an id, a colon and more.
func (s *Service) idIn(req *request) (id string, no *failure) {
	field, text := "message.fid", req.fid
	if text == "" {
		field, text = "message.token", req.token
	}
	id, tail, long := strings.Cut(text, ":")
	s.mu.Lock()
	known := s.registrations[text] != nil
	s.mu.Unlock()
	if known || s.cfg.AnyRegistration && len(text) <= 4096 {
		return text, nil
	}
	if !wellFormed.MatchString(id) || long && (field == "message.fid" || !tokenTail.MatchString(tail)) {
		no = invalid(field, "The registration token is not a valid FCM registration token")
	}
	return id, no
}

// accept looks the registration up, charges rates, and delivers or keeps, unless a fault strikes.
func (s *Service) accept(project string, req *request, p *Push) (name string, no *failure) {
	id := ""
	if req.group == "" {
		if id, no = s.idIn(req); no != nil {
			return "", no
		}
	}
	now := s.cfg.Now()
	s.mu.Lock()
	reg := s.registrations[id]
	if reg == nil && s.cfg.AnyRegistration && id != "" {
		reg = s.add(id, "")
	}
	var calls []func()
	name, no, calls = s.admit(project, reg, req, p, now)
	s.mu.Unlock()
	for _, call := range calls {
		call()
	}
	return name, no
}

// admit is accept with the lock held; calls are to be made once it is free.
func (s *Service) admit(project string, reg *registration, req *request, p *Push, now time.Time) (name string, no *failure, calls []func()) {
	if req.group == "" {
		switch {
		case reg == nil, reg.gone, now.Sub(reg.box.contact) > staleAfter && !reg.box.online:
			return "", fail("UNREGISTERED"), nil
		case reg.project != "" && reg.project != project:
			return "", fail("SENDER_ID_MISMATCH"), nil
		}
	}
	if req.validate {
		return "projects/" + project + "/messages/fake_message_id", nil, nil
	}
	meter := s.projects[project]
	if meter == nil {
		meter = new(cloud.Meter)
		s.projects[project] = meter
	}
	wait := meter.Take(now, s.cfg.PerProject)
	if wait == 0 && reg != nil {
		wait = reg.box.charge(now)
	}
	if reg != nil {
		reg.unasked = false
	}
	if wait > 0 {
		no = fail("QUOTA_EXCEEDED")
		no.retry = wait
		return "", no, nil
	}
	draw := func() uint32 { return 0 }
	if reg != nil {
		draw = func() uint32 { return uint32(reg.chance.Uint64() >> 32) }
	}
	p.Fault = s.dials.Next(draw)
	if p.Fault != "" {
		s.count.Faults[p.Fault]++
		switch _, refused := codes[string(p.Fault)]; {
		case refused:
			if no = fail(string(p.Fault)); no.Code == http.StatusTooManyRequests || no.Code >= 500 {
				no.retry = retryLater
			}
			return "", no, nil
		case p.Fault != Drop:
			return "", fail("INTERNAL"), nil // nothing that anybody gets to read in full
		}
	}
	s.numbers++
	id := fmt.Sprintf("0:%d%%%016x", now.UnixMicro(), s.numbers)
	name = "projects/" + project + "/messages/" + id
	s.count.Accepted++
	if reg == nil || p.Fault == Drop {
		s.count.Dropped++
		return name, nil, nil
	}
	high := req.high
	if high && !req.notification && s.cfg.Demote > 0 {
		high = float64(draw()) >= s.cfg.Demote*(1<<32)
	}
	lost := reg.box.put(Message{ID: id, Data: req.data, CollapseKey: req.key, High: high, Sent: now, Expires: now.Add(req.ttl)})
	s.count.Replaced += uint64(lost)
	s.count.Waiting += 1 - uint64(lost)
	return name, nil, s.flush(reg, now)
}

// reply sends the name of the message or why there is none, or what a fault makes of it.
func (s *Service) reply(w http.ResponseWriter, p *Push, name string, no *failure) {
	p.Name, p.Status = name, http.StatusOK
	if no != nil {
		p.Status, p.Code = no.Code, no.word()
	}
	switch p.Fault {
	case Reset:
		p.Status, p.Code = 0, ""
	case HTML:
		p.Status, p.Code = http.StatusNotFound, ""
	}
	if p.Code != "" {
		s.mu.Lock()
		s.count.Refused[p.Code]++
		s.mu.Unlock()
	}
	s.cfg.Observe(*p)
	switch {
	case p.Fault == Reset:
		panic(http.ErrAbortHandler)
	case p.Fault == HTML:
		notFound(w, nil)
	case p.Fault == Half:
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		w.Header().Set("Content-Length", "100")
		w.WriteHeader(p.Status)
		io.WriteString(w, `{"error":{"code":`)
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case no != nil:
		no.write(w)
	default:
		cloud.WriteJSON(w, http.StatusOK, map[string]string{"name": name})
	}
}

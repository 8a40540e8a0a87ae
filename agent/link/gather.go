package link

import "net"

// A gathering connection keeps what ends a handshake until the request that follows, so that both go out together. Everything else
// goes out when it is written, or at the latest when somebody waits for the answer to it.
type gathering struct {
	net.Conn
	held []byte
	made bool // the handshake is
}

func (g *gathering) Write(p []byte) (int, error) {
	switch {
	case !g.made:
		g.held = append(g.held, p...)
		return len(p), nil
	case len(g.held) == 0:
		return g.Conn.Write(p)
	}
	all := append(g.held, p...)
	g.held = nil
	n, err := g.Conn.Write(all)
	return max(n-(len(all)-len(p)), 0), err
}

func (g *gathering) Read(p []byte) (int, error) {
	if err := g.flush(); err != nil {
		return 0, err
	}
	return g.Conn.Read(p)
}

// flush sends what is held.
func (g *gathering) flush() error {
	if len(g.held) == 0 {
		return nil
	}
	_, err := g.Conn.Write(g.held)
	g.held = g.held[:0]
	return err
}

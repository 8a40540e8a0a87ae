module rollcall/fleet/interop

go 1.26.0

require rollcall v0.0.0

require (
	github.com/micromdm/nanohub v0.2.0 // indirect
	github.com/micromdm/nanomdm v0.9.0 // indirect
	github.com/micromdm/scep/v2 v2.3.0 // indirect
	github.com/smallstep/pkcs7 v0.2.3 // indirect
)

replace rollcall => ../..

package apple

// A field is a key of a message that this package knows, in the order in which [EncodeMessage] writes them.
type field uint8

const (
	noField field = iota
	fieldMessageType
	fieldStatus
	fieldCommandUUID
	fieldUDID
	fieldEnrollmentID
	fieldEnrollmentUserID
	fieldUserID
	fieldUserShortName
	fieldUserLongName
	fieldTopic
	fieldPushMagic
	fieldOSVersion
	fieldBuildVersion
	fieldProductName
	fieldSerialNumber
	fieldIMEI
	fieldMEID
	fieldDeviceName
	fieldModel
	fieldModelName
	fieldDigestResponse
	fieldTokenServiceType
	fieldEndpoint
	fieldToken
	fieldUnlockToken
	fieldBootstrapToken
	fieldData
	fieldAwaitingConfiguration
	fieldNotOnConsole
	fieldTokenParameters
	fieldErrorChain
	fields

	firstText = fieldCommandUUID
	lastText  = fieldEndpoint
	firstData = fieldToken
	lastData  = fieldData
)

var fieldNames = [fields]string{
	"", "MessageType", "Status", "CommandUUID", "UDID", "EnrollmentID", "EnrollmentUserID", "UserID", "UserShortName", "UserLongName",
	"Topic", "PushMagic", "OSVersion", "BuildVersion", "ProductName", "SerialNumber", "IMEI", "MEID", "DeviceName", "Model", "ModelName",
	"DigestResponse", "TokenServiceType", "Endpoint", "Token", "UnlockToken", "BootstrapToken", "Data", "AwaitingConfiguration",
	"NotOnConsole", "TokenParameters", "ErrorChain",
}

// fieldOf compares byte by byte: another case or a look-alike is another key (HST-007). A switch over texts, as
// this is where a check-in spends its time.
func fieldOf(key []byte) field {
	switch string(key) {
	case "MessageType":
		return fieldMessageType
	case "Status":
		return fieldStatus
	case "CommandUUID":
		return fieldCommandUUID
	case "UDID":
		return fieldUDID
	case "EnrollmentID":
		return fieldEnrollmentID
	case "EnrollmentUserID":
		return fieldEnrollmentUserID
	case "UserID":
		return fieldUserID
	case "UserShortName":
		return fieldUserShortName
	case "UserLongName":
		return fieldUserLongName
	case "Topic":
		return fieldTopic
	case "PushMagic":
		return fieldPushMagic
	case "OSVersion":
		return fieldOSVersion
	case "BuildVersion":
		return fieldBuildVersion
	case "ProductName":
		return fieldProductName
	case "SerialNumber":
		return fieldSerialNumber
	case "IMEI":
		return fieldIMEI
	case "MEID":
		return fieldMEID
	case "DeviceName":
		return fieldDeviceName
	case "Model":
		return fieldModel
	case "ModelName":
		return fieldModelName
	case "DigestResponse":
		return fieldDigestResponse
	case "TokenServiceType":
		return fieldTokenServiceType
	case "Endpoint":
		return fieldEndpoint
	case "Token":
		return fieldToken
	case "UnlockToken":
		return fieldUnlockToken
	case "BootstrapToken":
		return fieldBootstrapToken
	case "Data":
		return fieldData
	case "AwaitingConfiguration":
		return fieldAwaitingConfiguration
	case "NotOnConsole":
		return fieldNotOnConsole
	case "TokenParameters":
		return fieldTokenParameters
	case "ErrorChain":
		return fieldErrorChain
	}
	return noField
}

func (m *Message) text(f field) *string {
	switch f {
	case fieldCommandUUID:
		return &m.CommandUUID
	case fieldUDID:
		return &m.UDID
	case fieldEnrollmentID:
		return &m.EnrollmentID
	case fieldEnrollmentUserID:
		return &m.EnrollmentUserID
	case fieldUserID:
		return &m.UserID
	case fieldUserShortName:
		return &m.UserShortName
	case fieldUserLongName:
		return &m.UserLongName
	case fieldTopic:
		return &m.Topic
	case fieldPushMagic:
		return &m.PushMagic
	case fieldOSVersion:
		return &m.OSVersion
	case fieldBuildVersion:
		return &m.BuildVersion
	case fieldProductName:
		return &m.ProductName
	case fieldSerialNumber:
		return &m.SerialNumber
	case fieldIMEI:
		return &m.IMEI
	case fieldMEID:
		return &m.MEID
	case fieldDeviceName:
		return &m.DeviceName
	case fieldModel:
		return &m.Model
	case fieldModelName:
		return &m.ModelName
	case fieldDigestResponse:
		return &m.DigestResponse
	case fieldTokenServiceType:
		return &m.TokenServiceType
	default:
		return &m.Endpoint
	}
}

func (m *Message) data(f field) *[]byte {
	switch f {
	case fieldToken:
		return &m.Token
	case fieldUnlockToken:
		return &m.UnlockToken
	case fieldBootstrapToken:
		return &m.BootstrapToken
	default:
		return &m.Data
	}
}

// A set of fields.
type set uint64

func (s set) has(f field) bool { return s&(1<<f) != 0 }

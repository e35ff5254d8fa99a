package protocol

import "testing"

func TestAppTypeOfRetCode(t *testing.T) {
	for ret, want := range map[string]int32{
		"0":             AppUnknown, // not an error; nobody asks
		"":              AppUnknown,
		"USER-17":       AppUnknown, // a business error
		"Err-Core":      AppUnknown, // not the prefix
		"Err-Core-":     AppInternalError,
		"Err-Core-404":  AppUnknownMethod,
		"Err-Core-503":  AppLoadshedding,
		"Err-Core-521":  AppLoadshedding,
		"Err-Core-504":  AppTimeout,
		"Err-Core-416":  AppInvalidTransform,
		"Err-Core-499":  AppInternalError,
		"Err-Core-455":  AppProtocolError,
		"Err-Core-599":  AppInternalError,
		"Err-Core-boom": AppInternalError,
	} {
		if got := AppTypeOfRetCode([]byte(ret)); got != want {
			t.Errorf("AppTypeOfRetCode(%q) = %d, want %d", ret, got, want)
		}
	}
}

func TestEveryCodesRetCodeMapsToItsAppType(t *testing.T) {
	for c := CodeAppException; c < numCodes; c++ {
		if got := AppTypeOfRetCode([]byte(c.RetCode())); got != c.AppType() {
			t.Errorf("%v: retCode %s maps to type %d, the fault has %d", c, c.RetCode(), got, c.AppType())
		}
	}
}

func TestRetCodeOfAppTypeComesBack(t *testing.T) {
	nearest := map[int32]int32{
		AppUnknown: AppInternalError, AppInvalidMessageType: AppProtocolError,
		AppWrongMethodName: AppProtocolError, AppBadSequenceID: AppInternalError, AppMissingResult: AppInternalError,
		AppInjectedFailure: AppInternalError, 14: AppInternalError, -1: AppInternalError,
	}
	for app := int32(-1); app <= 14; app++ {
		want, ok := nearest[app]
		if !ok {
			want = app
		}
		ret := RetCodeOfAppType(app)
		if got := AppTypeOfRetCode([]byte(ret)); got != want {
			t.Errorf("type %d became %s and came back as %d, want %d", app, ret, got, want)
		}
		if !SystemRetCode([]byte(ret), nil) {
			t.Errorf("type %d became %s, which is not a system code", app, ret)
		}
	}
}

func TestSystemRetCode(t *testing.T) {
	for _, c := range []struct {
		ret, location string
		want          bool
	}{
		{"0", "", false},
		{"USER-17", "", false},
		{"USER-17", "callee", false},
		{"USER-17", "proxy", true},
		{"Err-Core-500", "", true},
		{"Err-Core-404", "callee", true},
		{"err-core-404", "", false},
	} {
		if got := SystemRetCode([]byte(c.ret), []byte(c.location)); got != c.want {
			t.Errorf("SystemRetCode(%q, %q) = %v, want %v", c.ret, c.location, got, c.want)
		}
	}
}

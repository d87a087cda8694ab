// LeadAssist's Go sample of PUT call-party.
package main

import (
	b64 "encoding/base64"
	"fmt"
	"io/ioutil"
	"net/http"
	"os"
	"strings"
)

func main() {
	// Please provide accountSid, authToken from your Exotel account
	accountSid := os.Getenv("ACCOUNT_SID")
	authToken := os.Getenv("API_TOKEN")
	authKey := os.Getenv("API_KEY")

	// Encoding the accountSid and authToken, used in Authorization header
	encoding := b64.StdEncoding.EncodeToString([]byte(authKey + ":" + authToken))
	url := os.Getenv("API_SCHEME") + "://" + os.Getenv("API_HOST") + "/v1/tenants/" + accountSid + "/greenvn/" + os.Getenv("GREENVN_ID") + "/call-party"

	payload := strings.NewReader(`{
		"aparty_numbers": [
			"+919900000040", "+919900000041"
		],
		
		"bparty_numbers": [
			"+919900000050", "+919900000051"
		],
		"aparty_pins": [
			12340
		],
		"bparty_pins": [
			2340
		],
		"usage": "twoway"
	}`)

	req, _ := http.NewRequest("PUT", url, payload)

	req.Header.Add("Content-Type", "application/json")
	req.Header.Add("Authorization", "Basic "+encoding)
	req.Header.Add("cache-control", "no-cache")

	res, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	body, _ := ioutil.ReadAll(res.Body)

	fmt.Println(res)
	fmt.Println(string(body))

}

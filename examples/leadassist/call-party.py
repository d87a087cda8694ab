# LeadAssist's Python sample of PUT call-party, for Python 3.
import requests, base64, json, os

accountSid = os.environ["ACCOUNT_SID"]
authToken = os.environ["API_TOKEN"]
authKey = os.environ["API_KEY"]

encoding = base64.b64encode((authKey + ":" + authToken).encode()).decode()

url = os.environ["API_SCHEME"] + "://" + os.environ["API_HOST"] + "/v1/tenants/"+ accountSid+"/greenvn/" + os.environ["GREENVN_ID"] + "/call-party"

payload = json.dumps({
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
})

headers = {
  'Authorization': 'Basic '+ encoding,
  'Content-Type': 'application/json'
}

response = requests.request("PUT", url, headers=headers, data=payload)

print(response.text)

#!/bin/sh
# LeadAssist's curl sample of PUT call-party: the credentials travel in the URL.
set -eu

curl --silent --show-error --location --request PUT \
  "$API_SCHEME://$API_KEY:$API_TOKEN@$API_HOST/v1/tenants/$ACCOUNT_SID/greenvn/$GREENVN_ID/call-party" \
--header 'Content-Type: application/json' \
--data-raw '{
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
}'

<?php
// LeadAssist's PHP sample of PUT call-party, with its strings joined as PHP joins them.
$curl = curl_init();
$accountSid = getenv("ACCOUNT_SID");
$accountToken = getenv("API_TOKEN");
$authKey = getenv("API_KEY");

$encoding = base64_encode($authKey .":". $accountToken);
curl_setopt_array($curl, array(
  CURLOPT_URL => getenv("API_SCHEME").'://'.getenv("API_HOST").'/v1/tenants/'.$accountSid.'/greenvn/'.getenv("GREENVN_ID").'/call-party',
  CURLOPT_RETURNTRANSFER => true,
  CURLOPT_ENCODING => '',
  CURLOPT_MAXREDIRS => 10,
  CURLOPT_TIMEOUT => 0,
  CURLOPT_FOLLOWLOCATION => true,
  CURLOPT_HTTP_VERSION => CURL_HTTP_VERSION_1_1,
  CURLOPT_CUSTOMREQUEST => 'PUT',
  CURLOPT_POSTFIELDS =>'{
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
}',
  CURLOPT_HTTPHEADER => array(
    'Authorization: Basic '. $encoding,
    'Content-Type: application/json'
  ),
));

$response = curl_exec($curl);

curl_close($curl);
echo $response;

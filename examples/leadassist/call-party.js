// LeadAssist's Node sample of PUT call-party, sent with Node's own client. The scheme stays glued to the
// credentials, as in the original.
var request = require(process.env.API_SCHEME);
var accountSid = process.env.ACCOUNT_SID;
var accountToken = process.env.API_TOKEN;
var authKey = process.env.API_KEY;

var encoding = Buffer.from(authKey + ':' + accountToken).toString('base64')

var options = { 
  	method: 'PUT',
    'headers': {
        'Authorization': 'Basic'+ encoding,
        'Content-Type': 'application/json'
    }
};
var url = process.env.API_SCHEME+'://'+process.env.API_HOST+'/v1/tenants/'+accountSid+'/greenvn/'+process.env.GREENVN_ID+'/call-party';
var body = JSON.stringify({"aparty_numbers":["+919900000040","+919900000041"],"bparty_numbers":["+919900000050","+919900000051"],"aparty_pins":[12340],"bparty_pins":[2340],"usage":"twoway"});

request.request(url, options, function (response) {
  var answer = '';
  response.on('data', function (part) { answer += part; });
  response.on('end', function () { console.log(answer); });
}).on('error', function (error) { throw new Error(error); }).end(body);

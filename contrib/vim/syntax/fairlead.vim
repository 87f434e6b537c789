" SPDX-License-Identifier: Apache-2.0
" fairlead.vim - syntax of fairlead.conf(5); made by man/gen.py from the directive table
if exists("b:current_syntax")
  finish
endif
syn iskeyword @,48-57,_,-,.
syn match fairleadComment /\%(^\|[[:space:]{};]\)\@1<=#.*$/
syn region fairleadString start=/"/ skip=/\\./ end=/"/ oneline contains=fairleadVariable
syn region fairleadString start=/`/ end=/`/
syn match fairleadVariable /\${[^}]*}/
syn match fairleadNumber /\<\d\+\%(\.\d\+\)\?\%(us\|ms\|[smhdkg]\|[kmg]bit\)\?\>/
syn keyword fairleadValue 1.2 1.3 auto body both bytes combined custom
syn keyword fairleadValue debug default drain err http http/1.1 info json
syn keyword fairleadValue least-connection maint none off on optional ping ready
syn keyword fairleadValue redirect refuse reject required respond rfc7239 round-robin source-ip-hash
syn keyword fairleadValue status tcp trust use vserver warn when x-forwarded
syn keyword fairleadDirective access-log alpn backlog backup body-rate body-timeout buffer-memory buffer-response
syn keyword fairleadDirective ca cert ciphers ciphersuites client-ca client-verify congestion connect-timeout
syn keyword fairleadDirective consolidate default drain-generations drain-timeout error-log every expect fall
syn keyword fairleadDirective forwarded groups head-timeout heartbeat-timeout host http idle-max idle-timeout
syn keyword fairleadDirective include keepalive-max listen max-body max-connections max-fields max-head max-objects
syn keyword fairleadDirective max-request-line method min-version ocsp policy port protocol redirect
syn keyword fairleadDirective reject remove-header remove-response-header request-id resolver respond response-timeout retries
syn keyword fairleadDirective rise send service set-header set-response-header shutdown-grace sni socket
syn keyword fairleadDirective state ticket-keys ticket-lifetime tickets timeout tls trust-forwarded unknown-sni
syn keyword fairleadDirective upgrade use user verify via weight workers
syn keyword fairleadObject admin monitor pool vserver
hi def link fairleadComment Comment
hi def link fairleadString String
hi def link fairleadVariable Identifier
hi def link fairleadNumber Number
hi def link fairleadValue Constant
hi def link fairleadDirective Keyword
hi def link fairleadObject Structure
let b:current_syntax = "fairlead"

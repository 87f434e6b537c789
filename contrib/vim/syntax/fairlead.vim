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
syn keyword fairleadValue 1.2 1.3 abort auto body both bytes combined
syn keyword fairleadValue cpu custom debug default drain err http http/1.1
syn keyword fairleadValue info json kernel least-connection maint none off on
syn keyword fairleadValue optional ping ready redirect refuse reject required respond
syn keyword fairleadValue rfc7239 round-robin serve source-ip-hash status tcp trust udp
syn keyword fairleadValue use vserver warn when x-forwarded
syn keyword fairleadDirective access-log alpn backlog backup body-rate body-timeout buffer-memory buffer-response
syn keyword fairleadDirective ca cert ciphers ciphersuites client-ca client-verify congestion connect-timeout
syn keyword fairleadDirective consolidate default distribute drain-generations drain-timeout error-log every expect
syn keyword fairleadDirective fall forwarded groups half-close head-timeout heartbeat-timeout host http
syn keyword fairleadDirective idle-max idle-timeout include keepalive-max listen max-body max-connections max-fields
syn keyword fairleadDirective max-head max-objects max-request-line method min-version ocsp policy port
syn keyword fairleadDirective protocol redirect reject remove-header remove-response-header request-id resolver respond
syn keyword fairleadDirective response-timeout responses retries rise send service set-header set-response-header
syn keyword fairleadDirective shutdown-grace sni socket state ticket-keys ticket-lifetime tickets timeout
syn keyword fairleadDirective tls trust-forwarded unknown-sni upgrade use user verify via
syn keyword fairleadDirective weight workers
syn keyword fairleadObject admin monitor pool vserver
hi def link fairleadComment Comment
hi def link fairleadString String
hi def link fairleadVariable Identifier
hi def link fairleadNumber Number
hi def link fairleadValue Constant
hi def link fairleadDirective Keyword
hi def link fairleadObject Structure
let b:current_syntax = "fairlead"

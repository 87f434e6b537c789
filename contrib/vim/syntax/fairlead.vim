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
syn keyword fairleadValue rfc7239 round-robin serve shared source-ip-hash status tcp trust
syn keyword fairleadValue udp use vserver warn when x-forwarded
syn keyword fairleadDirective access-log alpn backlog backup body-rate body-timeout buffer-memory buffer-response
syn keyword fairleadDirective ca cert ciphers ciphersuites client-ca client-verify congestion connect-timeout
syn keyword fairleadDirective consolidate control-core default distribute drain-generations drain-timeout error-log every
syn keyword fairleadDirective expect fall forwarded groups half-close head-timeout heartbeat-timeout host
syn keyword fairleadDirective http idle-max idle-timeout include keepalive-max listen max-body max-connections
syn keyword fairleadDirective max-fields max-head max-objects max-request-line method min-version ocsp policy
syn keyword fairleadDirective port protocol redirect reject remove-header remove-response-header request-id resolver
syn keyword fairleadDirective respond response-timeout responses retries rise send service set-header
syn keyword fairleadDirective set-response-header shutdown-grace sni socket state ticket-keys ticket-lifetime tickets
syn keyword fairleadDirective timeout tls trust-forwarded unknown-sni upgrade use user verify
syn keyword fairleadDirective via weight workers
syn keyword fairleadObject admin monitor pool vserver
hi def link fairleadComment Comment
hi def link fairleadString String
hi def link fairleadVariable Identifier
hi def link fairleadNumber Number
hi def link fairleadValue Constant
hi def link fairleadDirective Keyword
hi def link fairleadObject Structure
let b:current_syntax = "fairlead"

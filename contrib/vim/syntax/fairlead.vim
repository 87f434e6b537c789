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
syn keyword fairleadValue 1.2 1.3 2 3 4 abort aligned auto
syn keyword fairleadValue body both bytes combined consolidated cpu custom debug
syn keyword fairleadValue default drain early err http http/1.1 info jhash
syn keyword fairleadValue json kernel least-connection least-load local maint none off
syn keyword fairleadValue on optional ping ready redirect refuse reject required
syn keyword fairleadValue respond rfc7239 round-robin rss rules serve shared source-ip-hash
syn keyword fairleadValue staggered status tcp toeplitz trust udp use vserver
syn keyword fairleadValue warn when x-forwarded
syn keyword fairleadDirective access-log alpn backlog backup body-rate body-timeout buffer-memory buffer-response
syn keyword fairleadDirective ca cert ciphers ciphersuites client-ca client-verify congestion connect-timeout
syn keyword fairleadDirective consolidate control-core core cores default device distribute drain-generations
syn keyword fairleadDirective drain-timeout error-log every expect fall forwarded groups half-close
syn keyword fairleadDirective hash head-timeout heartbeat-timeout host http idle-max idle-timeout include
syn keyword fairleadDirective keepalive-max listen max-body max-connections max-fields max-head max-objects max-request-line
syn keyword fairleadDirective method min-version ocsp policy port protocol rebalance redirect
syn keyword fairleadDirective reject remove-header remove-response-header request-id resolver respond response-timeout responses
syn keyword fairleadDirective retries rise send service set-header set-response-header shutdown-grace sni
syn keyword fairleadDirective socket state ticket-keys ticket-lifetime tickets timeout tls trust-forwarded
syn keyword fairleadDirective tuple unknown-sni upgrade use user verify via view
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
